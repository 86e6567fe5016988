"""`penstock knowledge move` to real databases, and `gaps`: what is printed, what is written, what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from support.chroma_server import ChromaServer
from typer.testing import CliRunner

from penstock.cli.main import app

RUNNER = CliRunner()
TOML = '[app]\nmode = "quote"\n[knowledge.docs]\nsources = ["docs/**/*"]\n'


def run(*arguments: str) -> Result:
    return RUNNER.invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path: Path, minilm_folder: Path) -> Path:
    """An app that has taken in its documents."""
    root = tmp_path / "app"
    (root / "docs").mkdir(parents=True)
    (root / "penstock.toml").write_text(TOML)
    (root / "docs/ropes.md").write_text("# Ropes\n\nRopes hold ships.\n\n# Fees\n\nA night costs twelve euros.\n")
    assert run("ingest", str(root)).exit_code == 0
    return root


@pytest.fixture
def chroma() -> Iterator[ChromaServer]:
    pytest.importorskip("chromadb", reason="Chroma for tests: pip install chromadb")
    with ChromaServer() as server:
        yield server


def test_moving_to_chroma_is_proven_and_written_down(folder: Path, chroma: ChromaServer) -> None:
    moved = run("knowledge", "move", str(folder), "--to", chroma.url)
    assert moved.exit_code == 0, moved.output
    copied, proven, *rest = moved.stdout.splitlines()
    assert copied.startswith("copied")
    assert "generation 1, none missing" in copied
    assert "100.0% of the nearest passages are the same" in proven
    assert rest == ["", "[knowledge.docs.store]", f'url = "{chroma.url}"']
    assert (folder / "penstock.toml").read_text() == TOML
    moved = run("knowledge", "move", str(folder), "--to", chroma.url, "--write", "--json")
    proof = json.loads(moved.stdout)
    assert (proof["missing"], proof["extra"], proof["changed"], proof["recall"]) == (0, 0, 0, 1.0)
    assert f'[knowledge.docs.store]\nurl = "{chroma.url}"' in (folder / "penstock.toml").read_text()
    checked = run("knowledge", "verify", str(folder))
    assert (checked.exit_code, checked.stdout) == (0, "sound  generation 1 is what was written\n")
    chroma.stop()
    checked = run("knowledge", "verify", str(folder))
    assert checked.exit_code == 1
    assert "cannot be reached" in checked.output


def test_moving_to_postgresql_is_proven(folder: Path, postgres_url: str) -> None:
    moved = run("knowledge", "move", str(folder), "--to", postgres_url.replace(":@", "@"))
    assert moved.exit_code == 0, moved.output
    assert "none missing" in moved.stdout


def test_a_place_that_is_none_is_refused(folder: Path) -> None:
    for to, said in (
        ("", "There is no place to move to"),
        ("ftp://x", "is not understood"),
        ("postgresql://app:hunter2@db/app", "has a password in it"),
    ):
        moved = run("knowledge", "move", str(folder), "--to", to)
        assert (moved.exit_code, said in moved.output, "hunter2" in moved.output) == (2, True, False), moved.output
    moved = run("knowledge", "move", str(folder), "--to", "qdrant://127.0.0.1:1")
    assert (moved.exit_code, "127.0.0.1:1 cannot be reached" in moved.output) == (1, True), moved.output
    assert (folder / "penstock.toml").read_text() == TOML


def test_gaps_are_listed_shown_dismissed_and_opened_again(folder: Path) -> None:
    none = run("knowledge", "gaps", str(folder))
    assert (none.exit_code, none.output) == (0, "No question is waiting for an answer.\n")
    run("ask", str(folder), "Who won the chess world championship in 1972?")
    [gap] = json.loads(run("knowledge", "gaps", str(folder), "--json").stdout)
    assert (gap["count"], gap["state"]) == (1, "open")
    line = run("knowledge", "gaps", str(folder)).stdout.split("\t")
    assert (line[0], line[1], "chess world championship" in line[4]) == (gap["id"], "1", True)
    shown = run("knowledge", "gaps", str(folder), "--show", gap["id"]).stdout
    assert "asked 1 time (1 unanswered), 1 open; open" in shown
    assert "nearest in the documents:" in shown
    assert "docs/ropes.md" in shown
    dismissed = run("knowledge", "gaps", str(folder), "--dismiss", gap["id"], "--note", "not ours")
    assert dismissed.stdout.startswith("dismissed  ")
    assert json.loads(run("knowledge", "gaps", str(folder), "--json").stdout) == []
    [again] = json.loads(run("knowledge", "gaps", str(folder), "--state", "dismissed", "--json").stdout)
    assert (again["id"], again["note"]) == (gap["id"], "not ours")
    assert run("knowledge", "gaps", str(folder), "--reopen", gap["id"]).stdout.startswith("open  ")
    wrong = run("knowledge", "gaps", str(folder), "--show", "gap_x")
    assert (wrong.exit_code, "gap_x" in wrong.output) == (1, True)
