"""`penstock limits`: what is used, from what the last server left, and drawn on a terminal."""

import asyncio
import json
from pathlib import Path

import pytest
from support.terminal import ESCAPE, on_terminal, piped
from typer.testing import CliRunner

from penstock.access.limits import Ask, Limits
from penstock.access.limits.local import FILE, LocalStore
from penstock.cli.main import app
from penstock.config import load
from penstock.exchange import Principal

SETTINGS = """
[models.default]
use = "openai/gpt-4.1-mini"
[[limits]]
requests = 4
usd = 5
window = "month"
[[limits]]
per = "user"
concurrent = 4
"""


@pytest.fixture
def used(documents: Path) -> Path:
    """An app whose server has ended after three requests of one project and one of another."""
    (documents / "penstock.toml").write_text(SETTINGS)
    folder = load(documents)
    folder.make_data_folder()

    async def ask() -> None:
        store = LocalStore(folder.data / FILE)
        limits = Limits(store, folder.settings.limits)
        for project in ("team-a", "team-a", "team-a", "team-b"):
            caller = Principal(project_id=project, name="ci")
            await limits.reserve(Ask(principal=caller, model="default", cost_nanos=250_000_000))
        await store.close()

    asyncio.run(ask())
    return documents


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["limits", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_script_gets_lines_and_json(used: Path) -> None:
    lines = [line.split("\t")[:3] for line in run(str(used)).splitlines()]
    assert lines == [
        ["each project", "team-a", "3 of 4 requests this month"],
        ["each project", "team-a", "0.75 of 5.00 USD this month"],
        ["each project", "team-b", "1 of 4 requests this month"],
        ["each project", "team-b", "0.25 of 5.00 USD this month"],
        ["each user", "-", "0 of 4 requests at the same time"],
    ]
    (requests, money) = json.loads(run(str(used), "--project", "team-b", "--json"))
    assert (requests["remaining"], money["used"], money["dimension"]) == (3, 250_000_000, "usd")


def test_nothing_limited_is_said(documents: Path) -> None:
    result = CliRunner().invoke(app, ["limits", str(documents)])
    assert result.stderr == "Nothing is limited. Add [[limits]] to penstock.toml.\n"


def test_a_terminal_gets_bars(used: Path) -> None:
    code, output = on_terminal(["limits", str(used)])
    drawn = [" ".join(line.split()) for line in ESCAPE.sub("", output).splitlines()]
    assert code == 0
    assert any("each project team-a 3 of 4 requests this month ████████··" in line for line in drawn), output
    assert piped(["limits", str(used)]).stdout.startswith("each project\tteam-a")
