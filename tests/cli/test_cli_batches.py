"""`penstock batches`, with a running server and without one."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from support.batching import line, lines

from penstock.testing import ProviderServer

SETTINGS = '[app]\nname = "site"\n\n[knowledge]\n\n[models.big]\nuse = "corp/large"\nbase_url = "{url}"\n'
PENSTOCK = (sys.executable, "-m", "penstock.cli.main")


async def penstock(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(*PENSTOCK, *words, stdout=PIPE, stderr=PIPE)
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def batches(command: str, folder: Path, *words: str) -> str:
    code, out, errors = await penstock("batches", command, str(folder), *words)
    assert code == 0, errors
    return out


def arrange(folder: Path, upstream: ProviderServer) -> Path:
    (folder / "penstock.toml").write_text(SETTINGS.format(url=upstream.base_url))
    requests = folder / "requests.jsonl"
    requests.write_text("\n".join(json.dumps(each) for each in [*lines(6), line("wrong", method="GET")]))
    return requests


async def test_without_a_server_the_command_does_the_work(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        requests = arrange(tmp_path, upstream)
        assert "There are no batches" in (await penstock("batches", "list", str(tmp_path)))[2]
        answers = tmp_path / "answers"
        out = await batches("create", tmp_path, str(requests), "--output", str(answers))
        assert "6 answered, 1 failed, of 7" in out
        assert [json.loads(each)["custom_id"] for each in answers.read_text().splitlines()] == [
            f"line-{number}" for number in range(6)
        ]
        (listed,) = json.loads(await batches("list", tmp_path, "--json"))
        assert (listed["status"], listed["request_counts"]["completed"]) == ("completed", 6)
        assert await batches("output", tmp_path, listed["id"]) == answers.read_text()
        assert "invalid_method" in await batches("output", tmp_path, listed["id"], "--errors")
        code, _, errors = await penstock("batches", "cancel", str(tmp_path), listed["id"])
        assert (code, "is completed, and cannot be cancelled" in errors) == (1, True)
        code, _, errors = await penstock("batches", "show", str(tmp_path), "batch_x")
        assert (code, "There is no batch 'batch_x'" in errors) == (1, True)


async def test_a_running_server_is_asked(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        requests = arrange(tmp_path, upstream)
        server = await asyncio.create_subprocess_exec(
            *PENSTOCK, "up", str(tmp_path), "--port", "0", stdout=PIPE, stderr=PIPE
        )
        assert server.stdout is not None
        assert re.search(rb"http://\S+", await server.stdout.readline())
        other = await batches("create", tmp_path, str(requests), "--model", "nobody", "--json")
        made = json.loads(await batches("create", tmp_path, str(requests), "--wait", "--json"))
        assert (made["status"], made["request_counts"]) == ("completed", {"total": 7, "completed": 6, "failed": 1})
        shown = json.loads(await batches("show", tmp_path, json.loads(other)["id"], "--wait", "--json"))
        assert (shown["model"], shown["request_counts"]["failed"]) == ("nobody", 7)
        assert await batches("output", tmp_path, shown["id"]) == ""
        table = await batches("list", tmp_path)
        assert [row.split("\t")[0] for row in table.splitlines()] == [made["id"], shown["id"]]
        server.send_signal(signal.SIGTERM)
        await server.communicate()


async def test_a_file_that_asks_nothing(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        arrange(tmp_path, upstream)
        empty = tmp_path / "empty.jsonl"
        empty.write_text("\n")
        code, _, errors = await penstock("batches", "create", str(tmp_path), str(empty))
        assert (code, "says what it asks" in errors) == (1, True)
