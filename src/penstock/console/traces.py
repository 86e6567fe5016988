"""The list of traces, with its filter."""

from __future__ import annotations

import asyncio
from typing import Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.clock import SYSTEM_CLOCK
from penstock.console.query import read_query
from penstock.console.rendering import View, history, page_route, render
from penstock.gateway.services import Services
from penstock.traces.span import TraceFilter, TraceStatus, TraceSummary
from penstock.traces.store import MAX_COUNT

TRACES = View("traces.html", "Traces", "results")
PAGE_SIZE = 50
PERIODS = {"hour": 3600, "day": 86_400, "week": 7 * 86_400}
STATUSES: dict[str, TraceStatus] = {"ok": "ok", "error": "error", "stopped": "cancelled"}
FEEDBACK: dict[str, Literal["positive", "negative", "any"]] = {
    "good": "positive",
    "bad": "negative",
    "any": "any",
}


STATUS_LABELS = {"": "All", "ok": "Ok", "unanswered": "Unanswered", "error": "Error", "stopped": "Stopped"}
FEEDBACK_LABELS = {"": "All", "good": "Good", "bad": "Bad", "any": "Any"}
PERIOD_LABELS = {"": "Any time", "hour": "Last hour", "day": "Last 24 hours", "week": "Last 7 days"}


class TracesQuery(Struct, frozen=True, kw_only=True):
    """The filter as it stands in the address; "" filters nothing."""

    text: str = ""
    status: Literal["", "ok", "unanswered", "error", "stopped"] = ""
    model: str = ""
    feedback: Literal["", "good", "bad", "any"] = ""
    period: Literal["", "hour", "day", "week"] = ""
    before: str = ""

    def address(self, before: str = "") -> str:
        """The page of this filter that begins at a cursor, without what filters nothing."""
        said = msgspec.structs.asdict(msgspec.structs.replace(self, before=before))
        query = urlencode({name: value for name, value in said.items() if value})
        return f"/traces?{query}" if query else "/traces"


class Option(Struct, frozen=True):
    value: str
    label: str


class FilterChoice(Struct, frozen=True, kw_only=True):
    """One select of the filter."""

    name: str
    label: str
    chosen: str
    options: tuple[Option, ...]


class TraceLine(Struct, frozen=True, kw_only=True):
    """One row: the summary's fields that the list shows. `tokens` are all classes together."""

    id: str
    question: str | None
    answer: str | None
    error_message: str | None
    error_code: str | None
    status: TraceStatus
    answered: bool | None
    score: float | None
    model: str
    duration_us: int
    started_us: int
    tokens: int | None


class TracesPage(Struct, frozen=True, kw_only=True):
    """`found` says how many match. `older` and `newest` are addresses, `None` where there is no such page."""

    title: str
    query: TracesQuery
    choices: tuple[FilterChoice, ...]
    traces: tuple[TraceLine, ...]
    found: str
    filtered: bool
    older: str | None
    newest: str | None


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    query = read_query(request, TracesQuery)
    principal = principal_of(request)
    wanted = trace_filter(query, principal.project_id, SYSTEM_CLOCK.now_us())
    found, total = await asyncio.gather(
        services.traces.list(wanted, PAGE_SIZE, query.before or None), services.traces.count(wanted)
    )
    page = TracesPage(
        title="Traces",
        query=query,
        choices=filter_choices(query, [target.name for target in services.registry.open_to(principal)]),
        traces=tuple(line(trace) for trace in found.traces),
        found=counted(total),
        filtered=query != TracesQuery(),
        older=query.address(found.next_cursor) if found.next_cursor else None,
        newest=query.address() if query.before else None,
    )
    return render(request, TRACES, page, history(query.address(query.before), is_new=bool(query.before)))


def trace_filter(query: TracesQuery, project_id: str, now_us: int) -> TraceFilter:
    since = now_us - PERIODS[query.period] * 1_000_000 if query.period else None
    return TraceFilter(
        project_id=project_id,
        status=STATUSES.get(query.status),
        answered=False if query.status == "unanswered" else None,
        model=query.model or None,
        feedback=FEEDBACK.get(query.feedback),
        text=query.text.strip() or None,
        since_us=since,
    )


def filter_choices(query: TracesQuery, models: list[str]) -> tuple[FilterChoice, ...]:
    names = {name: name for name in [*models, query.model] if name}
    return (
        choice("status", "Status", query.status, STATUS_LABELS),
        choice("model", "Answered by", query.model, {"": "All"} | names),
        choice("feedback", "Feedback", query.feedback, FEEDBACK_LABELS),
        choice("period", "Started", query.period, PERIOD_LABELS),
    )


def choice(name: str, label: str, chosen: str, options: dict[str, str]) -> FilterChoice:
    listed = tuple(Option(value, text) for value, text in options.items())
    return FilterChoice(name=name, label=label, chosen=chosen, options=listed)


def line(trace: TraceSummary) -> TraceLine:
    classes = (trace.input_tokens, trace.cached_input_tokens, trace.output_tokens, trace.reasoning_tokens)
    known = [tokens for tokens in classes if tokens is not None]
    return TraceLine(
        id=trace.id,
        question=trace.question,
        answer=trace.answer,
        error_message=trace.error_message,
        error_code=trace.error_code,
        status=trace.status,
        answered=trace.answered,
        score=trace.score,
        model=trace.model,
        duration_us=trace.duration_us,
        started_us=trace.started_us,
        tokens=sum(known) if known else None,
    )


def counted(total: int) -> str:
    if total >= MAX_COUNT:
        return f"{MAX_COUNT:,} traces or more"
    return "1 trace" if total == 1 else f"{total:,} traces"


def routes() -> list[BaseRoute]:
    return [page_route("/traces", show, role="viewer")]
