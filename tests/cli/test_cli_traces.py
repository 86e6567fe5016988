"""`penstock traces`: what was recorded is found and shown, as a tree, as a waterfall, as JSON."""

import json
import re
from pathlib import Path

import pytest
from support.terminal import ESCAPE, on_terminal, piped
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.clock import ManualClock
from penstock.config import load
from penstock.errors import EngineStopped
from penstock.exchange import Chunk, Exchange, Grounding, Message, Usage
from penstock.ids import new_id
from penstock.storage.lock import FolderLock
from penstock.traces.span import Feedback
from penstock.traces.store import TraceStore

ANSWERED, UNANSWERED, FAILED = "0a" * 16, "0b" * 16, "1c" * 16


def exchange(trace_id: str, question: str) -> Exchange:
    return Exchange(id=new_id("req"), trace_id=trace_id, model="shop", messages=(Message("user", question),))


@pytest.fixture
async def recorded(documents: Path) -> Path:
    """Three requests, a second apart: answered with two steps, not answered, failed."""
    clock = ManualClock()
    store = TraceStore.open(load(documents).make_data_folder() / "traces.db", clock)
    trace = store.begin(exchange(ANSWERED, "How long may\nI return shoes?"))
    with trace.span("search", "retriever", query="shoes") as search:
        clock.advance(0.010)
        with search.tracer.span("embed", "embedding"):
            clock.advance(0.005)
    with trace.span(
        "call", "llm", messages=[Message("system", "Be brief."), Message("user", "Line one\nLine two")]
    ):
        clock.advance(0.085)
    grounding = Grounding(
        stage="answer", mode="quote", knowledge="docs", generation=3, answered=True, score=0.9, citations=()
    )
    trace.saw_chunk(Chunk(text="30 days.", finish_reason="stop", grounding=grounding, usage=Usage(12, 4)))
    trace.finish()
    clock.advance(1)
    trace = store.begin(exchange(UNANSWERED, "Who is the king?"))
    trace.saw_chunk(
        Chunk(
            text="The documents do not say.",
            finish_reason="stop",
            grounding=Grounding(
                stage="answer", mode="quote", knowledge="docs", generation=3, answered=False, score=0.1
            ),
        )
    )
    trace.finish()
    clock.advance(1)
    trace = store.begin(exchange(FAILED, "Why?"))
    trace.finish(EngineStopped("The engine is gone."))
    await store.flush()
    await store.add_feedback(
        "local", Feedback(trace_id=ANSWERED, score=1.0, comment="just right", created_us=clock.now_us())
    )
    store.close()
    return documents


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["traces", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_list_shows_the_newest_first(recorded: Path) -> None:
    code, output, _ = run("list", recorded)
    assert code == 0
    rows = [re.split(r"\s{2,}", line) for line in output.splitlines()]
    assert [(row[0], row[2]) for row in rows] == [
        (FAILED[:8], "error"),
        (UNANSWERED[:8], "no answer"),
        (ANSWERED[:8], "ok"),
    ]
    assert rows[2][3:] == ["100 ms", "shop", "How long may I return shoes?"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--unanswered"], [UNANSWERED]),
        (["--status", "error"], [FAILED]),
        (["--text", "SHOES"], [ANSWERED]),
        (["--limit", "2"], [FAILED, UNANSWERED]),
        (["--since", "1m"], []),
        (["--since", "36500d"], [FAILED, UNANSWERED, ANSWERED]),
    ],
)
def test_filters(recorded: Path, filters: list[str], found: list[str]) -> None:
    code, output, _ = run("list", recorded, "--json", *filters)
    assert code == 0
    assert [trace["id"] for trace in json.loads(output)] == found


def test_a_wrong_age_and_a_wrong_status_are_explained(recorded: Path) -> None:
    code, _, error = run("list", recorded, "--since", "yesterday")
    assert code == 1
    assert error == "error: --since 'yesterday' is not an age.\nhint: Write 30m, 12h or 7d.\n"
    assert run("list", recorded, "--status", "bad")[0] == 2


def test_one_trace_is_shown_as_a_tree(recorded: Path) -> None:
    for name in (ANSWERED, ANSWERED[:3]):
        code, output, _ = run("show", recorded, name)
        assert code == 0
        lines = output.splitlines()
        assert "tokens    12 in, 4 out" in lines
        assert "feedback  thumbs +1 just right" in lines
        assert lines[-4:] == [
            "chat shop    100 ms  at 0 ms",
            "├ search      15 ms  at 0 ms",
            "│ └ embed      5 ms  at 10 ms",
            "└ call        85 ms  at 15 ms",
        ]


def test_a_failed_trace_says_why(recorded: Path) -> None:
    _, output, _ = run("show", recorded, "last")
    assert "status    error  engine_stopped: The engine is gone." in output


def test_the_prompt_is_shown_as_it_was_sent(recorded: Path) -> None:
    _, output, _ = run("show", recorded, ANSWERED, "--full")
    assert "  system:\n    Be brief.\n  user:\n    Line one\n    Line two\n" in output


def test_a_terminal_shows_a_waterfall(recorded: Path) -> None:
    code, output = on_terminal(["traces", "show", str(recorded), ANSWERED])
    assert code == 0
    bars = [line.split()[-1] for line in ESCAPE.sub("", output).splitlines()[-4:]]
    assert bars == ["█" * 24, "████····················", "··█·····················", "···████████████████████·"]
    assert f"\x1b[32m{bars[0]}\x1b[0m" in output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f" * 32, f"There is no trace '{'f' * 32}'."),
        ("0", "2 traces start with '0'."),
        ("zz", "No trace starts with 'zz'."),
    ],
)
def test_a_trace_that_is_not_there(recorded: Path, name: str, message: str) -> None:
    code, _, error = run("show", recorded, name)
    assert code == 1
    assert error.startswith(f"error: {message}\nhint: `penstock traces list`")


def test_while_another_process_has_the_folder_it_says_which(recorded: Path) -> None:
    with FolderLock(load(recorded).data):
        result = piped(["traces", "list", str(recorded)])
    assert result.returncode == 1
    assert re.search(r"error: The data folder .* is in use by process \d+\.\nhint: Wait", result.stderr)


def test_an_app_that_was_never_asked_has_no_traces(documents: Path) -> None:
    code, output, error = run("list", documents)
    assert (code, output, error) == (0, "", "There are no requests yet.\n")
    assert not (documents / ".penstock").exists()


async def test_what_a_caller_wrote_does_not_drive_the_terminal(documents: Path) -> None:
    store = TraceStore.open(load(documents).make_data_folder() / "traces.db")
    store.begin(exchange(ANSWERED, "\x1b[2J\x1b]0;title\x07red\x9b31m")).finish()
    await store.flush()
    store.close()
    for arguments in (["list"], ["show"]):
        result = piped(["traces", *arguments, str(documents)])
        assert "red" in result.stdout
        assert not re.search(r"[\x07\x1b\x9b]", result.stdout)
        _, output = on_terminal(["traces", *arguments, str(documents)])
        assert not re.search(r"[\x07\x9b]", ESCAPE.sub("", output))
        assert "\x1b[2J" not in output


def test_listing_is_what_traces_does_by_itself(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, listed, _ = run("list", recorded)
    assert code == 0
    assert run(recorded) == (0, listed, "")
    monkeypatch.chdir(recorded)
    assert run() == (0, listed, "")
    assert run("--unanswered")[1] == run("list", "--unanswered")[1] != listed
