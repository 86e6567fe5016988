"""What every command has in common: quick help with an example, errors in one form, plain output in pipes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from support.terminal import ESCAPE, on_terminal, piped
from typer.core import TyperGroup
from typer.testing import CliRunner

from penstock.cli.main import app

HEAVY = (
    "aiohttp",
    "numpy",
    "openvino",
    "penstock.config.folder",
    "pydantic",
    "rich",
    "sqlalchemy",
    "starlette",
    "uvicorn",
)


def commands(group: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(group, TyperGroup):
        yield words
        return
    for name, command in group.commands.items():
        yield from commands(command, (*words, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_there_are_the_commands_that_the_readme_promises() -> None:
    assert {words[0] for words in COMMANDS} >= {"up", "ask", "init", "ingest", "pull", "traces", "doctor"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="penstock")
    assert result.exit_code == 0
    assert f"Examples:\n    penstock {' '.join(words)}" in result.output


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, penstock.cli.main as main\n"
        "try: main.app(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_an_error_says_what_and_what_next_and_exits_with_2_for_a_wrong_path(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    result = piped(["config", "check", str(tmp_path / "dosc")])
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"error: There is no file or folder '{tmp_path}/dosc'; did you mean '{tmp_path}/docs'?\n"
    )


def test_an_error_exits_with_1_and_shows_its_hint(documents: Path) -> None:
    result = piped(["traces", "show", str(documents), "last"])
    assert result.returncode == 1
    assert result.stderr == "error: There are no traces yet.\nhint: `penstock traces list` shows which there are.\n"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    for arguments, environment in (
        (["--debug", "config", "check", str(tmp_path / "x")], {}),
        (["config", "check", str(tmp_path / "x")], {"PENSTOCK_DEBUG": "1"}),
    ):
        result = piped(arguments, environment)
        assert result.returncode == 1
        assert "Traceback" in result.stderr
        assert "There is no file or folder" in result.stderr


def test_misuse_is_explained() -> None:
    result = CliRunner().invoke(app, ["up", "--prot", "1"])
    assert result.exit_code == 2
    assert "--port" in result.output
    result = CliRunner().invoke(app, ["indest"])
    assert result.exit_code == 2
    assert "ingest" in result.output


def test_a_pipe_gets_no_escape_codes_even_where_colours_are_on(documents: Path) -> None:
    for arguments in (["config", "show"], ["config", "check"], ["traces", "list"], ["doctor", "--quick"]):
        result = piped([*arguments, str(documents)], {"TERM": "xterm-256color"})
        assert result.returncode in (0, 1)
        assert "\x1b" not in result.stdout + result.stderr
    for arguments in (["pull", "--list"], ["config", "keys"], ["--help"]):
        result = piped(arguments)
        assert result.stdout and "\x1b" not in result.stdout + result.stderr


def test_a_pipe_gets_long_lines_whole(documents: Path) -> None:
    described = next(line for line in piped(["config", "keys"]).stdout.splitlines() if "How to answer" in line)
    assert len(described) > 200


def test_a_terminal_gets_colours_unless_it_says_no(documents: Path) -> None:
    code, output = on_terminal(["config", "check", str(documents)])
    assert code == 0
    assert "\x1b[32mok\x1b[0m" in output
    code, plain = on_terminal(["config", "check", str(documents)], {"NO_COLOR": "1"})
    assert code == 0
    assert not ESCAPE.search(plain)
    assert plain == ESCAPE.sub("", output)


def test_a_terminal_that_knows_no_letters_but_ascii_is_not_the_end(documents: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "config", "check", str(documents)],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert result.returncode == 0
    assert b"my shop?s rules" in result.stdout


def test_a_reader_that_leaves_early_is_no_error() -> None:
    result = subprocess.run(
        f"{sys.executable} -m penstock.cli.main config keys | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.startswith("[app]")
    assert result.stderr == ""


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("penstock 0.")
