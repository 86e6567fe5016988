"""/api/v1/knowledge/{name}/gaps: questions that the documents do not answer, in groups that mean the same."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.audit.record import Event
from penstock.exchange import Principal
from penstock.gateway.services import Services
from penstock.http.acting import record
from penstock.http.api.knowledge import ONE, base_of, own_base_of
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, read_query, reply
from penstock.knowledge.base import Hit, KnowledgeBase, Query
from penstock.knowledge.gaps.service import Gaps
from penstock.knowledge.gaps.values import Gap, GapQuestion, Rechecked
from penstock.knowledge.readers import reader_of

MOST = 500
NEAREST = 3


class GapsQuery(Struct, frozen=True, kw_only=True):
    """Which gaps to list: those that are open, by default."""

    state: Literal["open", "answered", "dismissed", "all"] = "open"
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 100


class GapList(Struct, frozen=True, kw_only=True):
    """Gaps, those that are asked most first."""

    object: Literal["list"] = "list"
    data: tuple[Gap, ...]


class GapDetail(Struct, frozen=True, kw_only=True):
    """A gap, its questions (newest first), and the passages that come nearest to it."""

    gap: Gap
    questions: tuple[GapQuestion, ...]
    nearest: tuple[Hit, ...]


class GapChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dismissed` for a gap that the documents need not fill, with a word on why; `open` takes that back."""

    state: Literal["open", "dismissed"]
    note: Annotated[str, Meta(max_length=500)] = ""


async def list_gaps(request: Request) -> Response:
    base, gaps = base_of(request), gaps_of(request)
    query = read_query(request, GapsQuery)
    project = principal_of(request).project_id
    state = None if query.state == "all" else query.state
    return reply(GapList(data=tuple(await gaps.gaps(project, base.name, state, query.limit))))


async def get_gap(request: Request) -> Response:
    base, gaps = base_of(request), gaps_of(request)
    return reply(await described(gaps, base, principal_of(request), request.path_params["gap_id"]))


async def described(gaps: Gaps, base: KnowledgeBase, principal: Principal, gap_id: str) -> GapDetail:
    """A gap with the nearest passages that the principal may find. Raises `NotFound`."""
    gap, questions = await gaps.get(principal.project_id, base.name, gap_id)
    found = await base.search(Query(text=gap.name, reader=reader_of(principal), limit=NEAREST))
    return GapDetail(gap=gap, questions=tuple(questions), nearest=found.hits)


async def change_gap(request: Request) -> Response:
    base, gaps = base_of(request), gaps_of(request)
    change = await read_json(request, GapChange)
    project = principal_of(request).project_id
    gap, _ = await gaps.get(project, base.name, request.path_params["gap_id"])
    await record(
        request,
        Event(
            action="gap.changed",
            target=gap.id,
            before={"state": gap.state, "note": gap.note},
            after={"state": change.state, "note": change.note},
        ),
    )
    return reply(await gaps.set_state(project, gap, change.state, change.note))


async def check_gaps(request: Request) -> Response:
    """Asks the open ones again now; after an ingestion that happens by itself."""
    base, gaps = own_base_of(request), gaps_of(request)
    return reply(await gaps.recheck(base.name))


def gaps_of(request: Request) -> Gaps:
    services: Services = request.app.state.services
    return services.gaps_found()


ROUTES = [
    ApiRoute(
        "GET",
        ONE + "/gaps",
        list_gaps,
        Description(
            role="viewer",
            summary="Lists what people asked and the documents do not answer.",
            query=GapsQuery,
            answer=GapList,
        ),
    ),
    ApiRoute(
        "POST",
        ONE + "/gaps/check",
        check_gaps,
        Description(role="admin", summary="Asks what is open again.", answer=Rechecked),
    ),
    ApiRoute(
        "GET",
        ONE + "/gaps/{gap_id}",
        get_gap,
        Description(
            role="viewer", summary="One gap with its questions and the nearest passages.", answer=GapDetail
        ),
    ),
    ApiRoute(
        "PATCH",
        ONE + "/gaps/{gap_id}",
        change_gap,
        Description(
            role="developer",
            summary="Dismisses a gap, or opens it again.",
            body=GapChange,
            example={"state": "dismissed", "note": "not for these documents"},
            answer=Gap,
        ),
    ),
]
