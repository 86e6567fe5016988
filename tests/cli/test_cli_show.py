"""`penstock knowledge show`: one document over the folder and over a running server, and what names none."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import pdf
from support.terminal import ESCAPE, on_terminal
from typer.testing import CliRunner, Result

from penstock.cli.knowledge_show import MOST_GUESSES, nearest
from penstock.cli.main import app

RUNNER = CliRunner()
ROPES = (
    "---\nteam: deck\ntags: [hemp, nylon]\n---\n# Ropes\n\nRopes hold ships. 🌊\n\n## Care\n\n"
    + "Rinse them in fresh water, and dry them in the shade. " * 6
)
LOG = "\n\n".join(["All is well, and the wind is from the west. " * 20] * 1_200)
"""Longer than the server gives at once; its passages are alike, so that few are embedded."""


def show(folder: Path, *arguments: str) -> Result:
    return RUNNER.invoke(app, ["knowledge", "show", str(folder), *arguments])


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> Path:
    """An app whose fees changed once, with a document in a folder, a page, and one that cannot be read."""
    root = tmp_path_factory.mktemp("app")
    (root / "harbour").mkdir()
    (root / "harbour" / "ropes.md").write_text(ROPES)
    (root / "berths.txt").write_text("Berths of the folder.")
    uploads = root / ".penstock" / "uploads" / "docs"
    uploads.mkdir(parents=True)
    (uploads / "berths.txt").write_text("Berths that were dropped in.")
    (root / "tides.pdf").write_bytes(pdf([[(12, "High water is at noon.")], [(12, "Low water is at six.")]]))
    (root / "broken.pdf").write_text("%PDF-1.7 this is not one")
    (root / "log.txt").write_text(LOG)
    for fees in ("twelve", "thirteen"):
        (root / "fees.txt").write_text(f"A night costs {fees} euros.")
        assert RUNNER.invoke(app, ["ingest", str(root)]).exit_code == 0
    return root


@pytest.fixture(scope="module", params=["folder", "server"])
def shop(request: pytest.FixtureRequest, docs: Path) -> Iterator[Path]:
    if request.param == "folder":
        yield docs
        return
    command = [sys.executable, "-m", "penstock.cli.main", "up", str(docs), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("Serving")
        yield docs
        server.send_signal(signal.SIGTERM)


def test_a_document_is_shown_with_its_passages(shop: Path) -> None:
    lines = show(shop, "harbour/ropes.md").stdout.splitlines()
    known = [tuple(line.split(maxsplit=1)) for line in lines[1:]]
    assert lines[0] == "Ropes"
    assert ("status", "ok") in known
    assert ("source", "folder") in known
    assert ("seen", "in   generation 1 and later") in known
    assert ("metadata", "team = deck") in known
    assert ("metadata", "tags = hemp, nylon") in known
    assert ("readers", "everybody") in known
    assert any(name == "read" and value.startswith("by   markdown ") for name, value in known)
    passages = [line.split("\t") for line in lines if "\t" in line]
    assert [each[0] for each in passages] == [str(number + 1) for number in range(len(passages))]
    assert any("Ropes hold ships. 🌊" in each[3] for each in passages)


def test_the_text_is_the_whole_text(shop: Path) -> None:
    assert show(shop, "fees.txt", "--text").stdout == "A night costs thirteen euros.\n"
    assert show(shop, "log.txt", "--text").stdout.strip() == LOG.strip()


def test_json_has_passages_as_ranges_of_the_text(shop: Path) -> None:
    found = json.loads(show(shop, "harbour/ropes.md", "--json").stdout)
    cut = [found["text"][each["start"] : each["end"]] for each in found["passages"]]
    assert len(cut) == found["document"]["chunks"]
    assert "Ropes hold ships. 🌊" in "".join(cut)
    assert json.loads(show(shop, found["document"]["id"], "--json").stdout) == found


def test_passages_have_the_pages_that_they_are_on(shop: Path) -> None:
    rows = [line.split("\t") for line in show(shop, "tides.pdf").stdout.splitlines() if "\t" in line]
    assert rows == [["1", "pages 1–2", "", "High water is at noon. Low water is at six."]]


def test_why_there_is_no_text(shop: Path) -> None:
    shown = show(shop, "broken.pdf")
    assert "status    corrupt: " in shown.stdout
    assert "It has no passages" in shown.stderr


def test_a_document_that_changed_opens_by_its_id(shop: Path) -> None:
    stored = sqlite3.connect(shop / ".penstock" / "knowledge-docs.db")
    ((before,),) = stored.execute("SELECT id FROM document WHERE path = 'fees.txt' AND removed_in = 2").fetchall()
    stored.close()
    assert show(shop, before, "--text").stdout == "A night costs twelve euros.\n"
    assert "seen in   generation 1\n" in show(shop, before).stdout
    assert "seen in   generation 2 and later\n" in show(shop, "fees.txt").stdout


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ("ropes.md", "Did you mean harbour/ropes.md?"),
        ("docs/Fees.text", "Did you mean fees.txt?"),
        ("harbour/rope.md", "Did you mean harbour/ropes.md?"),
        ("quay", "`penstock knowledge documents` lists them."),
    ],
)
def test_what_names_no_document_says_which_are_near(shop: Path, document: str, hint: str) -> None:
    shown = show(shop, document)
    assert (shown.exit_code, shown.stderr) == (1, f"error: There is no document {document!r}.\nhint: {hint}\n")


def test_a_path_in_two_sources_asks_for_an_id(shop: Path) -> None:
    shown = show(shop, "berths.txt")
    assert (shown.exit_code, "2 documents are called 'berths.txt'." in shown.stderr) == (1, True)
    ids = re.findall(r"doc_[0-9a-f]{32} of \w+", shown.stderr)
    texts = {each.split()[2]: show(shop, each.split()[0], "--text").stdout for each in ids}
    assert texts == {"folder": "Berths of the folder.\n", "uploads": "Berths that were dropped in.\n"}


def test_what_is_refused(shop: Path) -> None:
    gone = show(shop, "doc_" + "0" * 32)
    assert (gone.exit_code, "There is no document 'doc_000" in gone.stderr) == (1, True)
    both = show(shop, "fees.txt", "--text", "--json")
    assert (both.exit_code, "--text and --json" in both.stderr) == (1, True)


@pytest.mark.parametrize("columns", [60, 100])
def test_a_passage_is_a_line_of_the_terminal(docs: Path, columns: int) -> None:
    code, screen = on_terminal(["knowledge", "show", str(docs), "harbour/ropes.md"], {"COLUMNS": str(columns)})
    lines = [line.rstrip() for line in ESCAPE.sub("", screen).splitlines()]
    rows = lines[next(at for at, line in enumerate(lines) if "First words" in line) :]
    assert code == 0
    assert max(map(len, rows)) <= columns
    assert any(line.endswith("…") for line in rows)
    found = json.loads(show(docs, "harbour/ropes.md", "--json").stdout)
    assert len([line for line in rows if line]) == len(found["passages"]) + 2, "the heads, a rule, and a line each"


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=8), st.text(max_size=8))
def test_guesses_are_of_what_there_is(paths: list[str], wanted: str) -> None:
    near = nearest(wanted, paths)
    assert set(near) <= set(paths)
    assert len(set(near)) == len(near) <= MOST_GUESSES
    assert all(nearest(path, [path]) == [path] for path in paths)
