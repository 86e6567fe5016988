"""`penstock models` against a running server."""

import asyncio
import json
from pathlib import Path

from support.served_routes import always, at, model, served
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.config import load
from penstock.storage.lock import FolderLock
from penstock.testing import ProviderServer


async def run(*arguments: object) -> tuple[int, str, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, [str(each) for each in arguments])
    return result.exit_code, result.stdout, result.stderr


async def test_the_targets_are_listed_taken_out_and_put_back(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "penstock.toml").write_text('[app]\nname = "docs"\n')
    async with ProviderServer() as good, ProviderServer(faults=always("server_error")) as bad:
        smart = model(targets=[at(bad, "corp/bad", weight=1000), at(good, "corp/good")], fallback=["backup"])
        backup = model(**at(good, "corp/backup"))
        async with served(tmp_path, smart=smart, backup=backup) as it:
            for _ in range(6):
                await it.chat(model="smart")
            with FolderLock(load(folder).make_data_folder()) as lock:
                lock.announce(it.url)
                code, output, _ = await run("models", folder)
                assert code == 0
                lines = [line.split("\t") for line in output.splitlines()]
                assert lines[0][:3] == ["smart", "1", "corp/bad"]
                assert lines[0][3].startswith("ejected, ")
                assert lines[1][:7] == ["smart", "2", "corp/good", "healthy", "0", "6", "0.0%"]
                assert "smart: falls back to backup; 0 requests did" in output
                assert "smart: 5 retries, 0 hedges" in output
                code, output, _ = await run("models", "eject", folder, "smart", "2")
                assert (code, output) == (0, "corp/good is held.\n")
                code, output, _ = await run("models", "list", folder, "--json")
                assert json.loads(output)["data"][0]["targets"][1]["state"] == "held"
                code, output, _ = await run("models", "restore", folder, "smart", "2")
                assert (code, output) == (0, "corp/good is healthy.\n")
                code, _, error = await run("models", "eject", folder, "smrt")
                assert code == 1
                assert "There is no model 'smrt'" in error


async def test_without_a_server_it_says_what_to_start(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("A.")
    code, _, error = await run("models", tmp_path)
    assert code == 1
    assert "only a server knows how its targets are" in error
    assert f"penstock up {tmp_path}" in error
