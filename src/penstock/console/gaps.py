"""What people asked and the documents do not answer, grouped by meaning; one gap with its questions."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.principal import at_least
from penstock.access.routes import principal_of
from penstock.audit.record import Event
from penstock.console.choices import Option, address
from penstock.console.forms import read_form
from penstock.console.governing import record
from penstock.console.knowledge_head import KnowledgeHead, base_of, head_of, own_base_of
from penstock.console.knowledge_hits import HitLine, hit_lines
from penstock.console.query import read_query
from penstock.console.rendering import PageRoute, View, history, page_route, render
from penstock.gateway.services import Services
from penstock.knowledge.base import Query
from penstock.knowledge.gaps.service import Gaps
from penstock.knowledge.gaps.values import Gap, GapQuestion, GapState
from penstock.knowledge.readers import reader_of

GAPS = View("gaps.html", "Knowledge", "gaps")
GAP = View("gap.html", "Knowledge")
MOST = 200
NEAREST = 3
STATES: dict[str, str] = {"open": "Open", "answered": "Answered", "dismissed": "Dismissed", "all": "All"}
REASONS = {"unanswered": "not answered", "unsupported": "too little support", "disliked": "thumbed down"}


class GapsQuery(Struct, frozen=True, kw_only=True):
    state: Literal["open", "answered", "dismissed", "all"] = "open"


class GapForm(Struct, frozen=True, kw_only=True):
    """`note` says why a gap need not be filled."""

    state: Literal["open", "dismissed"]
    note: Annotated[str, Meta(max_length=500)] = ""


class GapLine(Struct, frozen=True, kw_only=True):
    """A gap in the list; `share` is how often it was asked beside the one that was asked most, 0 to 1."""

    gap: Gap
    href: str
    share: float
    reasons: tuple[str, ...]


class GapsPage(Struct, frozen=True, kw_only=True):
    title: str
    head: KnowledgeHead
    address: str
    state: str
    states: tuple[Option, ...]
    gaps: tuple[GapLine, ...]
    may_check: bool


class QuestionLine(Struct, frozen=True, kw_only=True):
    question: GapQuestion
    reason: str


class GapPage(Struct, frozen=True, kw_only=True):
    """`nearest` are the passages that come nearest to it today; `search` opens them on the bench."""

    title: str
    head: KnowledgeHead
    address: str
    gap: Gap
    questions: tuple[QuestionLine, ...]
    nearest: tuple[HitLine, ...]
    search: str
    may_change: bool


async def show_all(request: Request) -> Response:
    base, gaps = base_of(request), gaps_of(request)
    query = read_query(request, GapsQuery)
    principal = principal_of(request)
    counts = await asyncio.to_thread(base.counts, reader_of(principal))
    head = head_of(request, base, counts, "Gaps")
    here = f"{head.address}/gaps"
    state: GapState | None = None if query.state == "all" else query.state
    found = await gaps.gaps(principal.project_id, base.name, state, MOST)
    most = max((gap.count for gap in found), default=1)
    page = GapsPage(
        title=f"Gaps of {base.name}",
        head=head,
        address=here,
        state=query.state,
        states=tuple(Option(label, f"{here}?state={name}", name == query.state) for name, label in STATES.items()),
        gaps=tuple(line_of(gap, here, most) for gap in found),
        may_check=head.keeps,
    )
    return render(request, GAPS, page, history(f"{here}?state={query.state}", is_new=False))


async def show(request: Request) -> Response:
    base, gaps = base_of(request), gaps_of(request)
    principal = principal_of(request)
    reader = reader_of(principal)
    gap, questions = await gaps.get(principal.project_id, base.name, request.path_params["gap_id"])
    query = Query(text=gap.name, reader=reader, limit=NEAREST)
    found = await base.search(query)
    services: Services = request.app.state.services
    weight = services.settings.knowledge[base.name].vector_weight
    counts = await asyncio.to_thread(base.counts, reader)
    head = head_of(request, base, counts, "Gaps")
    page = GapPage(
        title=gap.name,
        head=head,
        address=f"{head.address}/gaps/{gap.id}",
        gap=gap,
        questions=tuple(QuestionLine(question=each, reason=REASONS[each.reason]) for each in questions),
        nearest=tuple(hit_lines(base.name, query, found.hits, weight)),
        search=address(f"{head.address}/search", q=gap.name),
        may_change=at_least(principal, "developer"),
    )
    return render(request, GAP, page)


async def change(request: Request) -> Response:
    base, gaps = base_of(request), gaps_of(request)
    form = await read_form(request, GapForm)
    gap, _ = await gaps.get(principal_of(request).project_id, base.name, request.path_params["gap_id"])
    await record(
        request,
        Event(
            action="gap.changed",
            target=gap.id,
            before={"state": gap.state, "note": gap.note},
            after={"state": form.state, "note": form.note},
        ),
    )
    await gaps.set_state(principal_of(request).project_id, gap, form.state, form.note)
    return RedirectResponse(request.url.path, 303)


async def check(request: Request) -> Response:
    """Asks the open ones again now; after an ingestion that happens by itself."""
    base, gaps = own_base_of(request), gaps_of(request)
    await gaps.recheck(base.name)
    return RedirectResponse(request.url.path.removesuffix("/check"), 303)


def line_of(gap: Gap, here: str, most: int) -> GapLine:
    reasons = (f"{number:,} {REASONS.get(reason, reason)}" for reason, number in gap.reasons.items() if number)
    return GapLine(
        gap=gap,
        href=f"{here}/{gap.id}",
        share=gap.count / most,
        reasons=tuple(reasons),
    )


def gaps_of(request: Request) -> Gaps:
    services: Services = request.app.state.services
    return services.gaps_found()


def routes() -> list[BaseRoute]:
    every = "/knowledge/{name}/gaps"
    one = every + "/{gap_id}"
    return [
        page_route(every, show_all),
        PageRoute(every + "/check", check, role="admin", methods=("POST",)),
        page_route(one, show),
        PageRoute(one, change, role="developer", methods=("POST",)),
    ]
