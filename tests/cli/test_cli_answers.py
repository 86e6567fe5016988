"""`penstock why` and `penstock knowledge calibrate`: with a server and without one, for people and for programs."""

import asyncio
import json
from pathlib import Path

import pytest
from support.served_platform import served
from support.terminal import piped
from typer.testing import CliRunner, Result

from penstock.cli.main import app

pytestmark = pytest.mark.usefixtures("minilm_folder")

HARBOURS = ("Ardor", "Belmo", "Cadrun", "Delin", "Ervan", "Fadlo", "Gorma", "Harun", "Istel", "Jorva")
QUESTION = "How many days does a customer have to return a product?"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def golden(folder: Path, count: int) -> Path:
    """Questions that the documents answer, two for each harbour, as an app keeps them."""
    lines = []
    for number, name in enumerate(HARBOURS):
        facts = f"was built in {1900 + number}. Its lighthouse is {number + 20} metres high."
        (folder / f"{name}.md").write_text(f"# {name}\n\nThe harbour of {name} {facts}")
        for question in (f"When was the harbour of {name} built?", f"How high is the lighthouse of {name}?"):
            lines.append(json.dumps({"question": question, "documents": [f"{name}.md"]}))
    file = folder.parent / "golden.jsonl"
    file.write_text("\n".join(lines[:count]))
    return file


def test_an_answer_without_a_server(documents: Path) -> None:
    (documents / "fees.txt").write_text("A night in the harbour costs twelve euros.")
    asked = run("ask", str(documents), QUESTION)
    assert asked.exit_code == 0, asked.stderr
    shown = run("why", "last", str(documents))
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith(f"question  {QUESTION}\n")
    assert "within 30 days" in shown.stdout
    (hanging,) = (line for line in shown.stdout.splitlines() if " * " in line)
    assert hanging.endswith("returns.md › Returns")
    found = json.loads(run("why", "last", str(documents), "--json").stdout)
    assert (found["answered"], found["hangs_on"], found["same_release"]) == (True, 1, True)
    assert found["passages"][0]["document"] == "returns.md"
    missing = run("why", "ffff", str(documents))
    assert missing.exit_code == 1
    assert "ffff" in missing.stderr


def test_without_text_it_says_what_to_switch_on(documents: Path) -> None:
    (documents / "penstock.toml").write_text('[knowledge.docs]\nsources = ["*.md"]\n[traces]\ncontent = false\n')
    assert run("ask", str(documents), QUESTION).exit_code == 0
    shown = run("why", "last", str(documents))
    assert shown.exit_code == 1
    assert "no text was recorded" in shown.stderr
    assert "content = true under [traces]" in shown.stderr


def test_a_threshold_is_fitted_without_a_server(documents: Path) -> None:
    questions = golden(documents, 20)
    shown = run("knowledge", "calibrate", str(documents), "--questions", str(questions))
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("20 answerable and 20 unanswerable questions of 'docs'\n")
    assert shown.stdout.count("<- chosen") == 1
    assert "calibration-docs.json" in shown.stderr
    kept = json.loads((documents / ".penstock" / "calibration-docs.json").read_text())
    fitted = json.loads(
        run("knowledge", "calibrate", str(documents), "--questions", str(questions), "--json").stdout
    )
    assert fitted["calibration"] | {"fitted_us": 0} == kept | {"fitted_us": 0}
    assert fitted["chosen"]["kept"] >= 0.95
    assert fitted["chosen"]["recall"] + fitted["chosen"]["kept"] >= (
        fitted["shipped"]["recall"] + fitted["shipped"]["kept"]
    )


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (19, "19 answerable questions are too few to fit a threshold on; 20 are needed."),
        (0, "0 answerable questions are too few"),
    ],
)
def test_too_few_questions_are_refused_before_anything_is_asked(documents: Path, count: int, message: str) -> None:
    shown = run("knowledge", "calibrate", str(documents), "--questions", str(golden(documents, count)))
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert message in shown.stderr
    assert "evals/golden.jsonl" in shown.stderr
    missing = run("knowledge", "calibrate", str(documents))
    assert "There are no questions at" in missing.stderr


async def test_a_server_that_runs_answers_and_takes_over(documents: Path) -> None:
    questions = golden(documents, 20)
    async with served(documents, "[knowledge.docs]", 'sources = ["*.md"]') as it:
        await it.platform.ingest()
        body = {"model": it.platform.folder.name, "messages": [{"role": "user", "content": QUESTION}]}
        status, _ = await it.ask("POST", "/v1/chat/completions", body)
        assert status == 200
        found = await asyncio.to_thread(piped, ["why", "last", str(documents), "--json"])
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["passages"][0]["document"] == "returns.md"
        before = it.platform.release
        command = ["knowledge", "calibrate", str(documents), "--questions", str(questions), "--json"]
        fitted = await asyncio.to_thread(piped, command)
        assert fitted.returncode == 0, fitted.stderr
        made = json.loads(fitted.stdout)["calibration"]
        assert it.platform.app is not None
        assert it.platform.app.settings.least == made["threshold"]
        assert it.platform.release != before
        few = {"questions": [{"question": "Who won?"}]}
        status, refused = await it.ask("POST", "/api/v1/knowledge/docs/calibrate", few)
        assert status == 400
        assert refused["error"]["message"].startswith("1 answerable questions are too few")
        status, _ = await it.ask("POST", "/api/v1/knowledge/plans/calibrate", few)
        assert status == 404
