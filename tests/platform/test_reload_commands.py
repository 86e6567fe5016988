"""`penstock config diff` and `reload`, against a server that runs."""

import asyncio
import json
from pathlib import Path

import pytest
from support.served_platform import at, served
from typer.testing import CliRunner, Result

from penstock.cli.main import app
from penstock.testing import ProviderServer


async def penstock(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_what_changed_is_shown_and_taken_over(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, served(tmp_path, at(upstream)) as it:
        assert (await penstock("config", "diff", str(tmp_path))).output == "The server runs what the file says.\n"
        it.write(at(upstream), at(upstream, "other"), "[server]\nmax_in_flight = 9")
        shown = await penstock("config", "diff", str(tmp_path))
        assert 'models.other.use\n  + "corp/large"\nserver.max_in_flight\n  - 256\n  + 9\n' in shown.output
        assert "`penstock config reload` takes it over." in shown.output
        found = json.loads((await penstock("config", "diff", str(tmp_path), "--json")).output)
        assert found[-1] == {"key": "server.max_in_flight", "running": 256, "file": 9, "restart": False}
        done = await penstock("config", "reload", str(tmp_path))
        assert (done.exit_code, done.output.splitlines()[-1]) == (0, "Reloaded.")
        assert (await it.chat("other"))[0] == 200


async def test_what_cannot_be_taken_over_is_said(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, served(tmp_path, at(upstream)) as it:
        it.write(at(upstream), "[ledger]\ndurability = 'power'")
        shown = (await penstock("config", "diff", str(tmp_path))).output
        assert "ledger.durability  needs a restart" in shown
        refused = await penstock("config", "reload", str(tmp_path))
        assert refused.exit_code == 1
        assert "ledger.durability cannot change while the server runs." in refused.output
        it.write(at(upstream), "[servers]")
        broken = await penstock("config", "reload", str(tmp_path))
        assert broken.exit_code == 2
        assert "did you mean 'server'" in broken.output


@pytest.mark.parametrize("command", ["diff", "reload"])
async def test_without_a_server_there_is_nothing_to_compare_with(command: str, tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text('[models.m]\nuse = "openai/x"')
    said = await penstock("config", command, str(tmp_path))
    assert said.exit_code == 1
    assert "No server runs for" in said.output
