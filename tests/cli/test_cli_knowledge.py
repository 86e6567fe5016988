"""`penstock knowledge`: what was done, what readers see, and whether it still is what was written."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app

RUNNER = CliRunner()


def run(*arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> Path:
    """An app whose documents changed once."""
    root = tmp_path_factory.mktemp("app")
    (root / "ropes.md").write_text("# Ropes\n\nRopes hold ships.")
    (root / "fees.txt").write_text("A night costs twelve euros.")
    run("ingest", str(root))
    (root / "fees.txt").write_text("A night costs thirteen euros. Paid in cash.")
    run("ingest", str(root))
    return root


def test_runs_say_what_came_of_them(docs: Path) -> None:
    found = json.loads(run("knowledge", "runs", str(docs), "--json"))
    assert [(each["state"], each["trigger"], each["generation"]) for each in found] == [
        ("done", "cli", 2),
        ("done", "cli", 1),
    ]
    assert "1 changed, 1 unchanged" in run("knowledge", "runs", str(docs))


def test_documents_have_their_status_and_their_parser(docs: Path) -> None:
    found = json.loads(run("knowledge", "documents", str(docs), "--json"))
    assert [(each["path"], each["status"]) for each in found] == [("fees.txt", "ok"), ("ropes.md", "ok")]
    assert found[1]["parser"].startswith("markdown/")
    assert json.loads(run("knowledge", "documents", str(docs), "--status", "no_text", "--json")) == []


def test_readers_go_back_and_forth(docs: Path) -> None:
    assert run("knowledge", "diff", str(docs)) == "changed\tfees.txt\tfolder\n"
    assert "generation 1" in run("knowledge", "rollback", str(docs))
    shown = json.loads(run("knowledge", "generations", str(docs), "--json"))
    assert [(each["number"], each["published"], each["pinned"]) for each in shown] == [
        (2, False, False),
        (1, True, True),
    ]
    run("knowledge", "rollback", str(docs), code=1)
    run("knowledge", "rollback", str(docs), "--to", "9", code=1)
    assert "generation 2" in run("knowledge", "publish", str(docs))


def test_a_generation_in_the_file_stands_over_going_back(docs: Path) -> None:
    file = docs / "penstock.toml"
    file.write_text("[knowledge.docs]\ngeneration = 1\n")
    try:
        assert "1\tpenstock.toml keeps readers here" in run("knowledge", "generations", str(docs))
        refused = RUNNER.invoke(app, ["knowledge", "publish", str(docs)])
        assert refused.exit_code == 1
        assert "The configuration keeps readers at generation 1." in refused.output
        file.write_text("[knowledge.docs]\ngeneration = 9\n")
        run("knowledge", "generations", str(docs))
        missing = RUNNER.invoke(app, ["ask", str(docs), "What holds ships?"])
        assert "knowledge.docs.generation is 9, which is not kept: kept are 2, 1" in missing.output
    finally:
        file.unlink()
    assert "generation 2" in run("knowledge", "publish", str(docs))


def test_what_differs_is_an_exit_code_and_can_be_put_right(docs: Path) -> None:
    assert run("knowledge", "verify", str(docs)).startswith("sound")
    with sqlite3.connect(docs / ".penstock" / "knowledge-docs.db") as connection:
        connection.execute("UPDATE document_text SET text = upper(text)")
    connection.close()
    assert "--repair" in run("knowledge", "verify", str(docs), code=1)
    assert run("knowledge", "verify", str(docs), "--repair").startswith("repaired")
    assert run("knowledge", "verify", str(docs)).startswith("sound")


def test_a_name_that_is_none_says_which_there_are(docs: Path) -> None:
    result = RUNNER.invoke(app, ["knowledge", "runs", str(docs), "--name", "plans"])
    assert result.exit_code == 1
    assert result.output == "error: There is no knowledge 'plans'.\nhint: There is: docs.\n"
