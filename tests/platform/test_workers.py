"""Two worker processes behind one port: limits exact over both, one that is killed is started again."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.config import load
from penstock.errors import ConfigError
from penstock.http.figures import summed
from penstock.storage.lock import announced_server
from penstock.testing import ProviderServer, Reply

WHOLE = (
    b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2}}'
)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
PENSTOCK = str(Path(sys.executable).with_name("penstock"))


class Served:
    def __init__(self, process: Process, url: str, folder: Path) -> None:
        self.process = process
        self.url = url
        self.folder = folder

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Over a connection of its own, so that the kernel chooses a worker."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            return answer.status, await (answer.json() if "json" in answer.content_type else answer.text())

    async def chat(self) -> int:
        return (await self.ask("POST", "/v1/chat/completions", CHAT))[0]

    async def workers(self) -> set[int]:
        """The processes that the supervisor has started."""
        found = await asyncio.create_subprocess_exec("pgrep", "-P", str(self.process.pid), stdout=PIPE)
        out, _ = await found.communicate()
        return {int(pid) for pid in out.split()}


@asynccontextmanager
async def served(folder: Path, *lines: str) -> AsyncIterator[Served]:
    (folder / "penstock.toml").write_text("\n".join(["[server]\nworkers = 2\nport = 0", *lines]))
    with (folder / ".log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(PENSTOCK, "up", str(folder), stdout=PIPE, stderr=log)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode().split()
        assert line, (folder / ".log").read_text()
        yield Served(process, line[-1], folder)
    finally:
        if process.returncode is None:
            process.terminate()
            assert await process.wait() == 0


def at(server: ProviderServer, name: str = "m") -> str:
    return f'[models.{name}]\nuse = "corp/large"\nbase_url = "{server.base_url}"'


async def test_two_workers_share_limits_figures_reloads_and_a_port(tmp_path: Path) -> None:
    async with ProviderServer(lambda received: Reply(body=WHOLE)) as upstream:
        limit = "[[limits]]\nrequests = 100\nwindow = '1h'\nper = 'all'"
        async with served(tmp_path, at(upstream), limit) as it:
            workers = await it.workers()
            assert len(workers) == 2
            statuses = Counter(await asyncio.gather(*(it.chat() for _ in range(500))))
            assert statuses == {200: 100, 429: 400}
            assert {await it.chat() for _ in range(10)} == {429}, "exact over both"
            text = (await it.ask("GET", "/metrics"))[1]
            assert 'penstock_requests_total{model="m",route="/v1/chat/completions",status="200"} 100.0' in text
            traces = (await it.ask("GET", "/api/v1/traces?status=ok&limit=500"))[1]["data"]
            assert len(traces) <= 100

            (tmp_path / "penstock.toml").write_text(
                "\n".join(["[server]\nworkers = 2\nport = 0", at(upstream), at(upstream, "new")])
            )
            status, answer = await it.ask("POST", "/api/v1/config/reload", {})
            assert status == 200, answer
            asked = await asyncio.gather(*(it.ask("GET", "/v1/models/new") for _ in range(24)))
            assert {status for status, _ in asked} == {200}, "both have taken it over"

            os.kill(min(workers), signal.SIGKILL)
            async with asyncio.timeout(20):
                while len(now := await it.workers()) < 2 or now == workers:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                while "is up again" not in (tmp_path / ".log").read_text():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert set(await asyncio.gather(*(it.chat() for _ in range(24)))) == {200}
            assert announced_server(load(tmp_path).data) is not None
            async with asyncio.timeout(20):
                while (await it.ask("GET", "/api/v1/costs"))[1]["total"]["calls"] != 124:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        assert announced_server(load(tmp_path).data) is None


async def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, served(tmp_path, at(upstream)) as it:
        workers = await it.workers()
        it.process.kill()
        await it.process.wait()
        async with asyncio.timeout(20):
            while any(Path(f"/proc/{pid}").exists() for pid in workers):  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ('[models.m]\nuse = "smollm2-135m-instruct"', "[models.m]"),
        ('[models.m]\nuse = "openai/x"\n[knowledge.docs]', "[knowledge.docs]"),
    ],
)
def test_what_runs_here_is_not_run_in_every_worker(tmp_path: Path, lines: str, named: str) -> None:
    (tmp_path / "penstock.toml").write_text(f"[server]\nworkers = 2\n{lines}")
    with pytest.raises(ConfigError, match="workers") as caught:
        load(tmp_path)
    assert f"must be 1 with {named}" in caught.value.message


def test_figures_of_processes_are_added_up_within_their_families() -> None:
    first = b'# HELP a_total A.\n# TYPE a_total counter\na_total{m="x"} 1.0\n# HELP penstock_target_up U.\n'
    first += b'# TYPE penstock_target_up gauge\npenstock_target_up{t="1"} 1.0\n'
    second = first.replace(b'{m="x"} 1.0', b'{m="y"} 2.0').replace(b'{t="1"} 1.0', b'{t="1"} 0.0')
    assert summed([first, second, second]).splitlines() == [
        b"# HELP a_total A.",
        b"# TYPE a_total counter",
        b'a_total{m="x"} 1.0',
        b'a_total{m="y"} 4.0',
        b"# HELP penstock_target_up U.",
        b"# TYPE penstock_target_up gauge",
        b'penstock_target_up{t="1"} 0.0',
    ]
