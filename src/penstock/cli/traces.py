"""`penstock traces`: what was asked and answered, and where the time of one answer went."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.groups import ListByDefault
from penstock.cli.output import Piece, is_terminal, note, say, say_json
from penstock.cli.prose import indented
from penstock.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.traces.span import SpanRecord, TraceDetail, TraceSummary
    from penstock.traces.store import TraceStore

T = TypeVar("T")
LIST_EXAMPLES = examples(
    "penstock traces list my-docs/ --unanswered --since 7d",
    "penstock traces list my-docs/ --status error --json",
)
SHOW_EXAMPLES = examples(
    "penstock traces show my-docs/ 0af7651916cd43dd8448eb211c80319c",
    "penstock traces show my-docs/ last --full",
)
STYLES = {"ok": "green", "error": "bold red", "cancelled": "yellow", "unfinished": "yellow"}
SECONDS = {"m": 60, "h": 3600, "d": 86_400}
BAR = 24
MARGIN = " " * 10


app = typer.Typer(cls=ListByDefault, help="List requests, and show where the time of one went.")


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    path: AppPath = HERE,
    status: Annotated[
        Literal["ok", "error", "cancelled"] | None,
        typer.Option(metavar="STATUS", help="Only those that ended as ok, error or cancelled."),
    ] = None,
    unanswered: Annotated[
        bool, typer.Option("--unanswered", help="Only questions that the documents do not answer.")
    ] = False,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Only questions with this text in them.")] = None,
    since: Annotated[str | None, typer.Option(metavar="AGE", help="Only the last 30m, 12h or 7d.")] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, max=500, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List requests, newest first; `penstock traces my-docs/` for short."""
    from penstock.config import load

    query = {
        "status": status,
        "answered": "false" if unanswered else None,
        "q": text,
        "since": _since(since) if since else None,
    }
    traces = _list(load(path), query, limit)
    if as_json:
        say_json(traces)
        return
    if not traces:
        note("There are no such requests." if any(query.values()) else "There are no requests yet.")
    for trace in traces:
        say(*_line(trace))


@app.command("show", epilog=SHOW_EXAMPLES)
def show(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder, a document, or an app folder.")],
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="An id, its first digits, or `last`.")] = "last",
    full: Annotated[bool, typer.Option("--full", help="Show everything recorded, the prompt as sent too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one request: question, answer, and each step with its time."""
    from penstock.config import load

    detail = _detail(load(path), trace)
    if as_json:
        say_json(detail)
        return
    _show_summary(detail)
    _show_spans(detail)
    if full:
        for span in detail.spans:
            _show_attributes(span)


def _since(age: str) -> str:
    match = re.fullmatch(r"(\d{1,6})([mhd])", age)
    if match is None:
        raise InvalidRequest(f"--since {age!r} is not an age.", hint="Write 30m, 12h or 7d.")
    return (datetime.now(UTC) - timedelta(seconds=int(match[1]) * SECONDS[match[2]])).isoformat()


def _list(folder: AppFolder, query: dict[str, Any], limit: int) -> tuple[TraceSummary, ...]:
    import msgspec

    from penstock.client import Server, running_server
    from penstock.exchange import LOCAL_PROJECT
    from penstock.http.api.traces import TraceList, TraceQuery

    given = {key: value for key, value in query.items() if value is not None}
    if server := running_server(folder):
        page = Server.of(server).read("/api/v1/traces", limit=limit, **given)
        return msgspec.json.decode(page, type=TraceList).data
    wanted = msgspec.convert(given, TraceQuery, strict=False).wanted(LOCAL_PROJECT)
    stored = _stored(folder, lambda store: store.list(wanted, limit))
    return stored.traces if stored else ()


def _detail(folder: AppFolder, trace_id: str) -> TraceDetail:
    import msgspec

    from penstock.client import Server, running_server
    from penstock.exchange import LOCAL_PROJECT
    from penstock.traces.span import TraceDetail

    trace_id = complete(folder, trace_id)
    if server := running_server(folder):
        return msgspec.json.decode(Server.of(server).read(f"/api/v1/traces/{trace_id}"), type=TraceDetail)
    found = _stored(folder, lambda store: store.get(trace_id, LOCAL_PROJECT))
    if found is None:
        raise NotFound(f"There is no trace {trace_id!r}.", hint="`penstock traces list` shows which there are.")
    return found


def complete(folder: AppFolder, start: str) -> str:
    """The whole id for `last` or for first digits that only one of the newest 500 has. Raises `NotFound`."""
    if re.fullmatch("[0-9a-f]{32}", start):
        return start
    traces = _list(folder, {}, 500)
    found = [trace.id for trace in traces if start == "last" or trace.id.startswith(start)]
    if start == "last" and found:
        return found[0]
    if len(found) != 1:
        what = "No trace starts" if not found else f"{len(found)} traces start"
        message = "There are no traces yet." if start == "last" else f"{what} with {start!r}."
        raise NotFound(message, hint="`penstock traces list` shows which there are.")
    return found[0]


def _stored(folder: AppFolder, read: Callable[[TraceStore], Awaitable[T]]) -> T | None:
    """Reads the database itself, while no server has it; `None` where there is none yet."""
    from penstock.storage.lock import FolderLock
    from penstock.traces.store import TraceStore

    file = folder.data / "traces.db"
    if not file.exists():
        return None
    with FolderLock(folder.data):
        store = TraceStore.open(file)
        try:
            return asyncio.run(_await(read(store)))
        finally:
            store.close()


async def _await(result: Awaitable[T]) -> T:
    return await result


def _line(trace: TraceSummary) -> list[Piece]:
    state = "no answer" if trace.answered is False and trace.status == "ok" else trace.status
    style = "yellow" if state == "no answer" else STYLES[trace.status]
    question = " ".join((trace.question or "").split())
    return [
        (trace.id[:8], "cyan"),
        f"  {_time(trace.started_us)}  ",
        (f"{state:<9}", style),
        f"  {_duration(trace.duration_us):>8}  {trace.model}  {question[:80]}",
    ]


def _show_summary(detail: TraceDetail) -> None:
    trace = detail.trace
    say(("trace     ", "dim"), trace.id)
    say(("when      ", "dim"), f"{_time(trace.started_us)}, {_duration(trace.duration_us)}", _first(trace))
    say(("status    ", "dim"), (trace.status, STYLES[trace.status]), _why(trace))
    say(("model     ", "dim"), trace.model, f"  release {trace.release_id}" if trace.release_id else "")
    if trace.knowledge:
        say(("knowledge ", "dim"), f"{trace.knowledge}, generation {trace.generation}")
    if trace.grounded is not None:
        say(("grounded  ", "dim"), f"{trace.grounded:.0%} of its claims have a passage that supports them")
    if trace.input_tokens is not None:
        say(("tokens    ", "dim"), f"{trace.input_tokens} in, {trace.output_tokens or 0} out")
    for given in detail.feedback:
        say(("feedback  ", "dim"), f"{given.name} {given.score:+g} {given.comment or ''}".rstrip())
    if trace.question:
        say(("question  ", "dim"), indented(trace.question, MARGIN).lstrip())
    if trace.answer:
        say(("answer    ", "dim"), indented(trace.answer, MARGIN).lstrip())


def _first(trace: TraceSummary) -> str:
    return f", first piece after {_duration(trace.first_chunk_us)}" if trace.first_chunk_us is not None else ""


def _why(trace: TraceSummary) -> str:
    if trace.error_message:
        return f"  {trace.error_code}: {trace.error_message}"
    return "  the documents do not say" if trace.answered is False else ""


def _show_spans(detail: TraceDetail) -> None:
    """The steps as a tree, with a waterfall on a terminal."""
    rows = _tree(detail.spans)
    width = max((len(label) for label, _ in rows), default=0)
    say("")
    for label, span in rows:
        offset = span.started_us - detail.trace.started_us
        pieces: list[Piece] = [f"{label:<{width}}  {_duration(span.duration_us):>8}"]
        if is_terminal(sys.stdout):
            pieces += ["  ", (_bar(offset, span.duration_us, detail.trace.duration_us), STYLES[span.status])]
        else:
            pieces.append(f"  at {_duration(max(0, offset))}")
        if span.error:
            pieces.append((f"  {span.error}", "red"))
        say(*pieces)


def _tree(spans: tuple[SpanRecord, ...]) -> list[tuple[str, SpanRecord]]:
    """Each span with its place in the tree drawn before its name."""
    known = {span.id for span in spans}
    children: dict[str | None, list[SpanRecord]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    rows: list[tuple[str, SpanRecord]] = []

    def walk(parent: str | None, indent: str) -> None:
        family = children.get(parent, [])
        for span in family:
            last = span is family[-1]
            branch = "" if parent is None else ("└ " if last else "├ ")
            rows.append((f"{indent}{branch}{span.name}", span))
            walk(span.id, indent + ("" if parent is None else ("  " if last else "│ ")))

    walk(None, "")
    return rows


def _bar(offset: int, duration: int, total: int) -> str:
    total = max(1, total)
    start = min(BAR - 1, max(0, BAR * offset // total))
    length = max(1, min(BAR - start, round(BAR * duration / total)))
    return "·" * start + "█" * length + "·" * (BAR - start - length)


def _show_attributes(span: SpanRecord) -> None:
    say("")
    say((span.name, "bold"), f"  ({span.kind})")
    for name, value in span.values().items():
        messages = value if name == "gen_ai.input.messages" and isinstance(value, list) else None
        if messages is None:
            say((f"  {name}: ", "dim"), value if isinstance(value, str) else _compact(value))
            continue
        for message in messages:
            say((f"  {message.get('role')}:", "cyan"))
            for part in message.get("parts", []):
                for line in str(part.get("content", "")).splitlines():
                    say(indented(line, "    ") if line.strip() else "")


def _compact(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006


def _duration(us: int) -> str:
    if 0 < us < 1000:
        return f"{us} µs"
    return f"{us / 1000:.0f} ms" if us < 10_000_000 else f"{us / 1e6:.1f} s"
