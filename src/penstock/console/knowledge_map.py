"""A map of the knowledge: passages by their meaning on a plane, and what people asked lately among them."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console.knowledge_head import KnowledgeHead, base_of, head_of
from penstock.console.passages import address_of, source_line, without_heading
from penstock.console.rendering import HEADERS, View, page_route, render
from penstock.gateway.services import Services
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.inspection import MOST_QUESTIONS, ChunkMap
from penstock.knowledge.landmarks import Landmark
from penstock.knowledge.readers import reader_of
from penstock.traces.span import TraceFilter, TraceSummary

MAP = View("knowledge_map.html", "Knowledge")
LISTED = 25
"""Questions under the map."""


class MapPage(Struct, frozen=True, kw_only=True):
    """`points` is the address of what the map is drawn from. `shown` of `total` passages are on it, and `variance`
    is the share of their differences that two directions show."""

    title: str
    head: KnowledgeHead
    points: str
    shown: int
    total: int
    variance: float
    questions: tuple[TraceSummary, ...]
    asked: int


class Point(Struct, frozen=True, array_like=True):
    """A passage: its place, 0 to 1, the number of its document, where it stands, its address and its beginning."""

    x: float
    y: float
    document: int
    place: str
    href: str
    text: str


class MapDocument(Struct, frozen=True):
    path: str
    source: str
    kind: str


class Asked(Struct, frozen=True, array_like=True):
    """A question: its place, its trace, and whether it was answered."""

    x: float
    y: float
    href: str
    text: str
    answered: bool


class Points(Struct, frozen=True, kw_only=True):
    documents: tuple[MapDocument, ...]
    passages: tuple[Point, ...]
    questions: tuple[Asked, ...]
    landmarks: tuple[Landmark, ...]


async def show(request: Request) -> Response:
    base, reader = base_of(request), reader_of(principal_of(request))
    counts = await asyncio.to_thread(base.counts, reader)
    head = head_of(request, base, counts, "Map")
    drawn = await base.inspection.map(reader)
    asked = await questions(request, base)
    page = MapPage(
        title=f"Map of {base.name}",
        head=head,
        points=f"{head.address}/map/points",
        shown=len(drawn.passages),
        total=drawn.total,
        variance=drawn.shown,
        questions=tuple(asked[:LISTED]),
        asked=len(asked),
    )
    return render(request, MAP, page)


async def show_points(request: Request) -> Response:
    base, reader = base_of(request), reader_of(principal_of(request))
    drawn = await base.inspection.map(reader)
    asked = await questions(request, base)
    places = await base.inspection.places([each.question or "" for each in asked], drawn)
    found = Points(
        documents=documents(drawn),
        passages=points(base.name, drawn),
        questions=tuple(
            Asked(
                rounded(place[0]), rounded(place[1]), f"/traces/{each.id}", each.question or "", bool(each.answered)
            )
            for each, place in zip(asked, places, strict=False)
        ),
        landmarks=drawn.landmarks,
    )
    return Response(msgspec.json.encode(found), media_type="application/json", headers=HEADERS)


async def questions(request: Request, base: KnowledgeBase) -> list[TraceSummary]:
    """What was asked of this knowledge lately in one's own project, each question once, newest first."""
    services: Services = request.app.state.services
    wanted = TraceFilter(project_id=principal_of(request).project_id)
    page = await services.traces.list(wanted, MOST_QUESTIONS)
    once = {each.question: each for each in reversed(page.traces) if each.question and each.knowledge == base.name}
    return list(reversed(once.values()))


def documents(drawn: ChunkMap) -> tuple[MapDocument, ...]:
    once = {each.document_id: MapDocument(each.document, each.source, each.kind) for each in drawn.passages}
    return tuple(once.values())


def points(knowledge: str, drawn: ChunkMap) -> tuple[Point, ...]:
    numbers: dict[str, int] = {}
    return tuple(
        Point(
            rounded(place[0]),
            rounded(place[1]),
            numbers.setdefault(each.document_id, len(numbers)),
            source_line("", each.heading, each.location),
            address_of(knowledge, each.document_id, each.start, each.end),
            without_heading(each.text, each.heading),
        )
        for each, place in zip(drawn.passages, drawn.places, strict=True)
    )


def rounded(value: float) -> float:
    return round(float(value), 4)


def routes() -> list[BaseRoute]:
    return [
        page_route("/knowledge/{name}/map", show),
        page_route("/knowledge/{name}/map/points", show_points),
    ]
