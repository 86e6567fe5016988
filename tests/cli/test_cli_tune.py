"""`penstock knowledge tune`: the winner is written, and nothing else ever changes anything."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from penstock.cli.knowledge_tune import questions_of, texts_of
from penstock.cli.main import app
from penstock.config import load
from penstock.knowledge.tune.questions import Questions
from penstock.platform import Platform

pytestmark = pytest.mark.usefixtures("minilm_folder")

HARBOURS = [
    first + second for first in ("Ar", "Bel", "Cad", "Del", "Er") for second in ("dor", "mo", "run", "lin", "van")
]
FILLER = "Boats come and go with the tide, and nobody counts them. " * 9
LONG = """# how documents are cut
[knowledge.docs]
sources = ["*.txt"]
chunk_tokens = 2048  # too long
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def harbours(documents: Path) -> Path:
    """One long document that is cut in passages which are far too long, and questions with their quotes."""
    (documents / "returns.md").unlink()
    facts = {
        name: f"The lighthouse of {name} is {20 + number} metres high." for number, name in enumerate(HARBOURS)
    }
    (documents / "harbours.txt").write_text("\n\n".join(f"{fact} {FILLER}" for fact in facts.values()))
    (documents / "penstock.toml").write_text(LONG)
    (documents / "evals").mkdir()
    lines = [
        json.dumps({"question": f"How high is the lighthouse of {name}?", "quote": fact})
        for name, fact in facts.items()
    ]
    (documents / "evals" / "golden.jsonl").write_text("\n".join(lines))
    return documents


def generation(folder: Path) -> int:
    async def published() -> int:
        async with Platform.open(load(folder)) as platform:
            return platform.knowledge["docs"].generation()

    return asyncio.run(published())


def test_the_winner_becomes_a_generation_and_lines_of_the_configuration(harbours: Path) -> None:
    shown = run("knowledge", "tune", str(harbours), "--write", "--json")
    assert shown.exit_code == 0, shown.stderr
    assert "25 questions of the app" in shown.stderr and "trying structure 2048" in shown.stderr
    report = json.loads(shown.stdout)
    winner = report["rows"][report["best"]]
    assert report["best"] != report["present"] and winner["candidate"]["chunking"]["tokens"] < 2048
    written = (harbours / "penstock.toml").read_text()
    assert written.startswith("# how documents are cut\n") and "# too long" in written
    settings = load(harbours).settings.knowledge["docs"]
    assert settings.chunk_tokens == winner["candidate"]["chunking"]["tokens"]
    assert settings.vector_weight == winner["candidate"]["vector_weight"]
    kept = run("knowledge", "generations", str(harbours), "--json")
    assert kept.exit_code == 0 and "tuned: " in kept.stdout
    assert not list((harbours / ".penstock").glob("tune-*"))
    unchanged = run("ingest", str(harbours))
    assert unchanged.exit_code == 0 and "unchanged" in unchanged.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_race_that_is_interrupted_changes_nothing(harbours: Path, how: signal.Signals) -> None:
    assert run("ingest", str(harbours)).exit_code == 0
    before = generation(harbours)
    command = [sys.executable, "-m", "penstock.cli.main", "knowledge", "tune", str(harbours), "--write"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as racing:
        assert racing.stderr is not None
        assert any("trying structure 96" in line for line in racing.stderr)
        racing.send_signal(how)
        racing.communicate(timeout=60)
    assert racing.returncode != 0
    assert (harbours / "penstock.toml").read_text() == LONG
    assert generation(harbours) == before


class Writer(BaseHTTPRequestHandler):
    """A model that asks about whatever it reads first."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        name = re.findall(r"lighthouse of (\w+)", asked)[0]
        content = f"Where do boats find the lighthouse of {name} in the dark?"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments: object) -> None: ...


def test_the_model_of_an_app_that_composes_writes_the_questions(
    harbours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_KEY", "sk-of-a-test")

    async def asked() -> Questions:
        async with Platform.open(load(harbours)) as platform:
            await platform.ingest()
            return await questions_of(platform, texts_of(platform.knowledge["docs"]), None)

    with ThreadingHTTPServer(("127.0.0.1", 0), Writer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        model = f'[models.default]\nuse = "openai/m"\nbase_url = "{address}"\napi_key = {{ env = "MODEL_KEY" }}\n'
        (harbours / "penstock.toml").write_text(f'{LONG}[app]\nmode = "compose"\n{model}')
        found = asyncio.run(asked())
        server.shutdown()
    assert found.origin == "model" and len(found.questions) >= 20
    assert all(question.text.startswith("Where do boats") and question.spans for question in found.questions)


@pytest.mark.slow
def test_what_is_best_already_stays(harbours: Path) -> None:
    lines = (harbours / "evals" / "golden.jsonl").read_text().splitlines()
    anywhere = [
        json.dumps({"question": json.loads(line)["question"], "documents": ["harbours.txt"]}) for line in lines
    ]
    (harbours / "evals" / "golden.jsonl").write_text("\n".join(anywhere))
    shown = run("knowledge", "tune", str(harbours), "--write")
    assert shown.exit_code == 0, shown.stderr
    assert "Nothing was better than what is in use." in shown.stdout
    assert (harbours / "penstock.toml").read_text() == LONG


def test_too_few_questions_are_refused(harbours: Path) -> None:
    file = harbours / "evals" / "golden.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:7]))
    shown = run("knowledge", "tune", str(harbours), "--write")
    assert shown.exit_code == 2
    assert "7 questions can be looked for" in shown.stderr and '"quote"' in shown.stderr
    assert (harbours / "penstock.toml").read_text() == LONG


def test_a_file_of_questions_that_is_not_there_is_named(harbours: Path) -> None:
    shown = run("knowledge", "tune", str(harbours), "--questions", str(harbours / "none.jsonl"))
    assert shown.exit_code == 2 and "none.jsonl" in shown.stderr
