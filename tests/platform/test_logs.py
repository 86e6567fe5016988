"""What the server logs: JSON lines with what a request was and took, and nothing of what was said in it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gateway_site import site

from penstock.config.logs import LogSettings
from penstock.platform.logs import open_logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leaves logging as it was."""
    root, names = logging.getLogger(), ("penstock", "penstock.requests")
    handlers, level = root.handlers[:], root.level
    levels = [logging.getLogger(name).level for name in names]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(before)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_each_request_has_a_line_without_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_logs(LogSettings(format="json", requests=True))
    async with site(tmp_path) as it:
        status, _, headers = await it.chat("my password is swordfish")
        assert status == 200
        await it.chat(model="nonesuch")
        await it.post("/v1/chat/completions", b"{")
    text = capsys.readouterr().err
    assert "swordfish" not in text
    assert "Hello" not in text
    first, second, third = [json.loads(line) for line in text.splitlines()]
    assert first["trace_id"] == headers["x-penstock-trace-id"]
    assert {name: first[name] for name in ("level", "logger", "route", "model", "status", "project")} == {
        "level": "info",
        "logger": "penstock.requests",
        "route": "/v1/chat/completions",
        "model": "tiny",
        "status": 200,
        "project": "local",
    }
    assert first["bytes_in"] > 0 < first["bytes_out"]
    assert (second["status"], third["status"]) == (404, 400)


async def test_there_are_no_lines_of_requests_unless_they_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_logs(LogSettings(format="json"))
    async with site(tmp_path) as it:
        await it.chat()
    assert lines(capsys) == []


def test_errors_keep_their_cause_and_lines_their_form(capsys: pytest.CaptureFixture[str]) -> None:
    open_logs(LogSettings(format="json"), worker=1)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("penstock.x").exception("it %s", "broke")
    (line,) = lines(capsys)
    assert (line["message"], line["worker"], line["level"]) == ("it broke", 1, "error")
    assert "ValueError: two\nlines" in str(line["exception"])


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    open_logs(LogSettings(level="warning"), worker=3)
    logging.getLogger("penstock.x").info("not shown")
    logging.getLogger("penstock.x").warning("shown")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING [worker 3] penstock.x: shown")
