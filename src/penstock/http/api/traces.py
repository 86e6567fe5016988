"""GET /api/v1/traces and /api/v1/traces/{trace_id}: what was asked, and why it was answered so."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import InvalidRequest, NotFound
from penstock.http.routes import ApiRoute, Description, principal_of, read_query, reply
from penstock.traces.span import TraceDetail, TraceFilter, TraceStatus, TraceSummary
from penstock.traces.store import MAX_LIMIT, TraceStore

Moment = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone: `2026-01-31T09:00:00Z`.")]
Words = Annotated[str, Meta(min_length=1, max_length=500)]


class TraceQuery(Struct, frozen=True, kw_only=True):
    """Which traces to list; all filters must hold.

    `q` is looked for anywhere in the question's preview (its first 500 characters), in any case. `since` is
    inclusive, `until` exclusive, both about the start of the request. `feedback=none` lists answers that nobody
    has judged. `cursor` is `next_cursor` of the page before, with the same filters.
    """

    q: Words | None = None
    status: TraceStatus | None = None
    model: Words | None = None
    release: Words | None = None
    answered: bool | None = None
    feedback: Literal["positive", "negative", "any", "none"] | None = None
    session: Words | None = None
    user: Words | None = None
    min_duration_ms: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50
    cursor: Words | None = None
    count: bool = False

    def wanted(self, project_id: str) -> TraceFilter:
        return TraceFilter(
            project_id=project_id,
            text=self.q,
            status=self.status,
            model=self.model,
            release_id=self.release,
            answered=self.answered,
            feedback=self.feedback,
            session=self.session,
            user=self.user,
            min_duration_us=None if self.min_duration_ms is None else round(self.min_duration_ms * 1000),
            since_us=microseconds(self.since),
            until_us=microseconds(self.until),
        )


class TraceList(Struct, frozen=True, kw_only=True):
    """One page, newest start first. `next_cursor` is null on the last. `count` is null unless asked for, and
    how many traces match in all, where counting stops at 10,000.
    """

    object: Literal["list"] = "list"
    data: tuple[TraceSummary, ...]
    next_cursor: str | None
    count: int | None = None


def microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1e6)


def store_of(request: Request) -> TraceStore:
    store: TraceStore = request.app.state.services.traces
    return store


def refuse_unknown(request: Request, kind: type[Struct]) -> None:
    """A misspelt filter that were ignored would list the wrong traces."""
    known = kind.__struct_fields__
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise InvalidRequest(
                f"{name!r} is not a filter of traces.",
                hint=f"Did you mean {near[0]!r}?" if near else f"Use one of {', '.join(known)}.",
                param=name,
            )


async def list_traces(request: Request) -> Response:
    refuse_unknown(request, TraceQuery)
    query = read_query(request, TraceQuery)
    wanted, store = query.wanted(principal_of(request).project_id), store_of(request)
    page = await store.list(wanted, query.limit, query.cursor)
    count = await store.count(wanted) if query.count else None
    return reply(TraceList(data=page.traces, next_cursor=page.next_cursor, count=count))


async def get_trace(request: Request) -> Response:
    trace_id = request.path_params["trace_id"]
    found = await store_of(request).get(trace_id, principal_of(request).project_id)
    if found is None:
        raise NotFound(
            f"There is no trace {trace_id[:64]!r}.",
            hint="List them at /api/v1/traces; those older than the retention are deleted.",
            param="trace_id",
        )
    return reply(found)


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/traces",
        list_traces,
        Description(role="viewer", summary="Lists requests, newest first.", query=TraceQuery, answer=TraceList),
    ),
    ApiRoute(
        "GET",
        "/api/v1/traces/{trace_id}",
        get_trace,
        Description(role="viewer", summary="One request with all its spans and feedback.", answer=TraceDetail),
    ),
]
