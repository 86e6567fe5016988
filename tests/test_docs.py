"""What the docs say is true: Python examples run, links lead somewhere, and nothing is loaded from elsewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from penstock.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.M | re.S)
SHELL = ("bash", "console", "sh", "")
COMMAND = re.compile(r"^ *(?:\$ )?(?P<line>penstock [^#\n]*)", re.M)
NAMED = re.compile(r"`(?P<line>penstock [^`\n]+)`")
SOURCES = sorted((ROOT / "src" / "penstock").glob("**/*.py"))
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def examples() -> list[object]:
    """Every block marked `python run`, as one test each."""
    found = []
    for page in PAGES:
        for number, block in enumerate(FENCE.finditer(page.read_text())):
            if block["info"].split() == ["python", "run"]:
                found.append(pytest.param(block["code"], id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for match in LINK.finditer(text):
        target = match["target"].partition("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


@pytest.mark.parametrize("code", examples())
def test_examples_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minilm_folder: Path) -> None:
    """Runs in an empty folder that holds `my-docs` with one page to ask."""
    (tmp_path / "my-docs").mkdir()
    (tmp_path / "my-docs" / "returns.md").write_text(
        "# Returns\n\nA customer can return a product within 30 days of delivery. Refunds take five working days.\n"
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})


def commands(page: Path) -> Iterator[str]:
    """What a page tells its reader to type; a command that goes on in the next line is one."""
    text = page.read_text().replace("\\\n", " ")
    for block in FENCE.finditer(text):
        if block["info"] in SHELL:
            yield from (match["line"] for match in COMMAND.finditer(block["code"]))
    yield from (match["line"] for match in NAMED.finditer(FENCE.sub("", text)))


@pytest.mark.parametrize("page", [*PAGES, *SOURCES], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_there(page: Path) -> None:
    for line in commands(page):
        check_command(line)


def check_command(line: str) -> None:
    """Fails for a command, an option, or an argument too many, that the command line would not take."""
    words = [word for word in shlex.split(re.split(r" [|>&]|…", line)[0])[1:] if word not in ("-h", "--help")]
    command = get_command(app)
    while isinstance(command, TyperGroup):
        words = left_over(command, words)
        if not words or words[0] == "COMMAND":
            return
        default = getattr(command, "default", "")
        name = words.pop(0) if words[0] in command.commands else default
        assert name, f"{line!r}: there is no {words[0]!r}"
        command = command.commands[name]
    assert left_over(command, words) == [], line


def left_over(command: Any, words: list[str]) -> list[str]:
    """What a command does not take for itself. Raises for an option that it does not know."""
    _, left, _ = command.make_parser(command.context_class(command)).parse_args(words)
    return list(left)
