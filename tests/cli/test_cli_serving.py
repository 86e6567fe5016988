"""`penstock up`, `ask` and `ingest` with the real models: from a folder to cited answers."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.canned import serving as serving_canned
from support.terminal import ESCAPE, on_terminal, piped

from penstock.config import load

pytestmark = pytest.mark.usefixtures("minilm_folder", "smollm2_file")

QUESTION = "Within how many days can a customer return a product?"
UNRELATED = "Who won the chess world championship in 1972?"


class Serving:
    """A running `penstock up` and what it said until it listened."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.main", "up", str(folder), "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MISTRAL_API_KEY": "sk-hidden"},
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            raise AssertionError(self.process.communicate()[1])
        self.url = self.line.split()[-1]

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("apps") / "shop rules"
    folder.mkdir()
    (folder / "returns.md").write_text(
        "# Returns\n\n## How long\n\nA customer can return a product within 30 days of delivery.\n\n"
        "## Refunds\n\nRefunds take five working days.\n"
    )
    (folder / "empty.pdf").write_bytes(b"")
    serving = Serving(folder)
    yield serving
    if serving.process.poll() is None:
        serving.stop()


def test_a_question_gets_a_cited_answer_from_the_server(serving: Serving) -> None:
    result = piped(["ask", str(serving.folder), *QUESTION.split()])
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    answer, _, sources = result.stdout.partition("\n\n")
    assert "within 30 days" in answer
    assert re.search(r"^\[1\] returns\.md › Returns$", sources, re.M)


def test_json_has_the_citations_and_the_trace(serving: Serving) -> None:
    answer = json.loads(piped(["ask", str(serving.folder), QUESTION, "--json"]).stdout)
    assert (answer["answered"], answer["mode"]) == (True, "quote")
    citation = answer["citations"][0]
    assert citation["document"] == "returns.md"
    assert "30 days" in citation["quote"]
    shown = json.loads(piped(["traces", "show", str(serving.folder), answer["trace_id"], "--json"]).stdout)
    assert shown["trace"]["question"] == QUESTION


def test_what_the_documents_do_not_say_exits_with_3(serving: Serving) -> None:
    result = piped(["ask", str(serving.folder), UNRELATED])
    assert result.returncode == 3
    assert result.stdout.startswith("The documents do not say.")
    assert re.search(r"^\[1\] returns\.md.*\n    “.+”$", result.stdout, re.M)
    listed = json.loads(piped(["traces", "list", str(serving.folder), "--unanswered", "--json"]).stdout)
    assert listed[0]["question"] == UNRELATED


def test_the_server_takes_in_a_new_file_when_told_to(serving: Serving) -> None:
    (serving.folder / "gifts.md").write_text("# Gifts\n\nGift cards are valid for three years.\n")
    result = piped(["ingest", str(serving.folder), "--json"])
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)["docs"]
    assert (summary["added"], summary["unchanged"]) == (1, 2)
    assert f"The server at {serving.url} takes them in." in result.stderr
    assert "three years" in piped(["ask", str(serving.folder), "How long are gift cards valid?"]).stdout


def test_a_second_up_says_where_it_is_served(serving: Serving) -> None:
    result = piped(["up", str(serving.folder)])
    assert result.returncode == 0
    pid = serving.process.pid
    assert result.stderr == f"shop-rules is served already, at {serving.url} (process {pid}).\n"


def test_a_port_in_use_is_said_before_anything_else(serving: Serving, documents: Path) -> None:
    port = serving.url.rpartition(":")[2]
    result = piped(["up", str(documents), "--port", port])
    assert result.returncode == 2
    assert f"Port {port} on 127.0.0.1 is in use." in result.stderr
    assert f"--port {int(port) + 1}" in result.stderr
    assert not (documents / ".penstock").exists()


def test_a_termination_ends_it_well(serving: Serving) -> None:
    data = load(serving.folder).data
    assert (data / "server.json").exists()
    code, said = serving.stop()
    assert code == 0
    assert not (data / "server.json").exists()
    assert serving.line == f"Serving shop-rules at {serving.url}\n"
    assert "docs: 1 of 2 files can be read" in said
    assert "empty.pdf: " in said
    assert f'OpenAI(base_url="{serving.url}/v1", api_key="local")' in said
    assert "Only this machine can connect, and no key is asked for." in said
    assert "MISTRAL_API_KEY is set; to compose answers with Mistral: --model mistral/NAME" in said
    assert "hidden" not in said
    assert said.endswith("Stopped.\n")


def test_a_termination_right_after_the_start_ends_it_well(documents: Path) -> None:
    serving = Serving(documents)
    code, said = serving.stop()
    assert (code, said.splitlines()[-1]) == (0, "Stopped.")
    assert not (load(documents).data / "server.json").exists()


def test_without_a_server_the_command_answers_itself(documents: Path) -> None:
    code, output = on_terminal(["ask", str(documents / "returns.md"), QUESTION], {"XDG_DATA_HOME": str(documents)})
    plain = ESCAPE.sub("", output)
    assert code == 0, plain
    assert "within 30 days" in plain
    assert "[1] returns.md › Returns" in plain
    assert "\x1b[36m[1]" in output


def test_a_model_elsewhere_composes_and_the_evidence_comes_first(documents: Path) -> None:
    pieces = ["Customers have 30 days", " to return a product [1].", " The moon is made of cheese."]
    events = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps({'id': 'x', 'model': 'm', **event})}\n\n" for event in events)
    with serving_canned({"/v1/chat/completions": (200, f"{body}data: [DONE]\n\n".encode())}) as url:
        (documents / "penstock.toml").write_text(
            f'[app]\nmode = "compose"\n[models.default]\nuse = "vllm/m"\nbase_url = "{url}/v1"\n'
        )
        code, output = on_terminal(["ask", str(documents), QUESTION])
        plain = ESCAPE.sub("", output)
        assert code == 0, plain
        evidence, answer, sources = (
            plain.index(text) for text in ("“A customer", "Customers have", "[1] returns.md")
        )
        assert evidence < answer < sources
        assert "No passage supports 1 sentence of this answer." in plain
        result = piped(["ask", str(documents), QUESTION])
    assert result.stdout.startswith("Customers have 30 days to return a product [1].")


def test_ingest_without_a_server_shows_what_changed(documents: Path) -> None:
    first = piped(["ingest", str(documents)])
    assert first.returncode == 0, first.stderr
    assert re.match(r"docs: 1 document \(1 new\), \d+ new passages?, \d+\.\d s\n$", first.stderr)
    (documents / "scan.pdf").write_bytes(b"%PDF-1.7 not really")
    again = piped(["ingest", str(documents)])
    assert "docs: 1 of 2 files can be read (1 new, 1 unchanged)" in again.stderr
    assert re.search(r"  ! scan\.pdf: .* \(corrupt\)", again.stderr)


def test_files_of_other_kinds_share_one_line(documents: Path) -> None:
    for name in ("a.png", "b.PNG", "c.svg", "Makefile"):
        (documents / name).write_bytes(b"x")
    said = piped(["ingest", str(documents)]).stderr
    assert said.startswith("docs: 1 document (1 new)")
    assert "  4 files of other kinds left out (.png, .svg, no ending)\n" in said
    assert "  !" not in said


@pytest.mark.parametrize("command", [["up"], ["ingest"], ["ask"]], ids=" ".join)
def test_an_empty_folder_is_said_so(tmp_path: Path, command: list[str]) -> None:
    result = piped(
        [*command, str(tmp_path), *(["--port", "0"] if command == ["up"] else ["a?"] * (command == ["ask"]))]
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: There are no documents in {tmp_path}")
    assert "hint: Put files there that can be read" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_exist_is_said_before_anything_starts(documents: Path) -> None:
    result = piped(["up", str(documents), "--model", "opnai/gpt", "--port", "0"])
    assert result.returncode == 2
    assert "models.default.use: There is no vendor 'opnai'" in result.stderr
    assert not (documents / ".penstock").exists()


def test_an_empty_question_is_said_so(documents: Path) -> None:
    result = piped(["ask", str(documents), " "])
    assert result.returncode == 1
    assert result.stderr.startswith("error: The question is empty.\nhint: For example")
