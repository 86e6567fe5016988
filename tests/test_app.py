"""The Python API: the same answers in a script, in async code, and beside a running server."""

import asyncio
import contextlib
import inspect
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock
from penstock import App, Message
from penstock.errors import ConfigError, InvalidRequest

pytestmark = pytest.mark.usefixtures("minilm_folder")

QUESTION = "Within how many days can a customer return a product?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my-docs"
    folder.mkdir()
    (folder / "returns.md").write_text(
        "# Returns\n\nA customer can return a product within 30 days of delivery.\n\n"
        "Refunds take five working days.\n"
    )
    return folder


@pytest.fixture
def app(folder: Path) -> Iterator[App]:
    with App(folder) as app:
        yield app


def test_an_answer_prints_with_its_sources(app: App) -> None:
    answer = app.ask(QUESTION)
    assert answer.answered
    assert answer.mode == "quote"
    assert str(answer).endswith("[1] returns.md › Returns")
    assert "within 30 days" in str(answer)
    assert "<li value='1'><b>returns.md › Returns</b>" in answer._repr_html_()
    assert len(answer.trace_id) == 32


def test_what_the_documents_do_not_say(app: App) -> None:
    answer = app.ask("Who won the chess world championship in 1972?")
    assert not answer.answered
    assert answer.citations


def test_a_stream_starts_with_the_evidence(app: App) -> None:
    chunks = list(app.stream(QUESTION))
    assert chunks[0].grounding is not None
    assert chunks[0].grounding.stage == "evidence"
    assert "".join(chunk.text for chunk in chunks) == app.ask(QUESTION).text


def test_history_counts(app: App) -> None:
    history = [Message("user", "How long do refunds take?"), Message("assistant", "Five working days.")]
    assert app.ask("And within how many days can they return it?", history=history).answered


def test_the_calls_work_where_a_loop_is_running(app: App) -> None:
    async def in_a_notebook() -> None:
        answer = app.ask(QUESTION)
        assert answer.text == (await app.aask(QUESTION)).text
        assert "".join([chunk.text async for chunk in app.astream(QUESTION)]) == answer.text

    asyncio.run(in_a_notebook())


def test_leaving_a_stream_early_leaves_the_app_usable(app: App) -> None:
    async def leave() -> None:
        async with contextlib.aclosing(app.astream(QUESTION)) as chunks:  # type: ignore[type-var]
            await anext(chunks)

    asyncio.run(leave())
    stream = app.stream(QUESTION)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert app.ask(QUESTION).answered


def test_new_documents_are_taken_in_when_told_to(app: App, folder: Path) -> None:
    app.ask(QUESTION)
    (folder / "gifts.md").write_text("# Gifts\n\nGift cards are valid for three years.\n")
    assert app.ingest()["docs"].added == 1
    assert app.search("How long are gift cards valid?", limit=1)[0].document == "gifts.md"


def test_a_closed_app_opens_again(folder: Path) -> None:
    app = App(folder)
    first = app.ask(QUESTION)
    app.close()
    app.close()
    assert app.ask(QUESTION).text == first.text
    app.close()


def test_bad_calls_say_what_is_wrong(app: App, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="The question is empty"):
        app.ask("  ")
    with pytest.raises(InvalidRequest, match="The question is empty"):
        list(app.stream(""))
    with pytest.raises(ConfigError, match="no file or folder"):
        App(tmp_path / "nowhere")


def test_a_running_server_is_asked_instead(folder: Path) -> None:
    command = [sys.executable, "-m", "penstock.cli.main", "up", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("Serving")
        with App(folder) as app:
            answer = app.ask(QUESTION)
            assert answer.answered
            assert answer.trace_id
            assert app.search("refunds", limit=1)[0].document == "returns.md"
            assert app.ingest()["docs"].unchanged == 1
        server.send_signal(signal.SIGTERM)


def test_a_program_that_does_not_close_still_ends(folder: Path) -> None:
    code = f"from penstock import App; print(App({str(folder)!r}).ask({QUESTION!r}).answered)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_the_public_names_are_sorted_documented_and_there() -> None:
    assert penstock.__all__ == sorted(penstock.__all__)
    for name in penstock.__all__:
        assert inspect.getdoc(getattr(penstock, name))
    with pytest.raises(AttributeError, match="no attribute 'Application'"):
        penstock.Application  # noqa: B018
