"""The generations that are kept: what changed from one to another, and which of them readers see."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import get_args

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.audit.record import Event
from penstock.console.governing import record
from penstock.console.knowledge_head import KnowledgeHead, head_of, own_base_of
from penstock.console.query import read_query
from penstock.console.rendering import PageRoute, View, page_route, render
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.generations import DocumentChange, Generation
from penstock.knowledge.readers import reader_of
from penstock.knowledge.stores.generations import Change

GENERATIONS = View("knowledge_generations.html", "Knowledge", "changes")
MOST_CHANGES = 500


class DiffQuery(Struct, frozen=True, kw_only=True):
    """Two generations to compare; 0 is the one before `after`, and for `after` the newest."""

    before: int = 0
    after: int = 0


class Changes(Struct, frozen=True, kw_only=True):
    """What became of documents; the first of them, and how many of each change there are."""

    before: int
    after: int
    counts: dict[str, int]
    documents: tuple[DocumentChange, ...]
    total: int


class GenerationLine(Struct, frozen=True, kw_only=True):
    """`more` is how many documents it has more than the one before it, `None` for the oldest that is kept.
    `question` is what to ask before readers are moved to it."""

    generation: Generation
    newest: bool
    more: int | None
    diff: str
    act: str
    question: str


class GenerationsPage(Struct, frozen=True, kw_only=True):
    """`pinned` is the generation at which readers are kept, 0 where they follow the newest; `configured` where it
    is the configuration that keeps them."""

    title: str
    head: KnowledgeHead
    address: str
    lines: tuple[GenerationLine, ...]
    numbers: tuple[int, ...]
    pinned: int
    configured: bool
    changes: Changes | None


async def show(request: Request) -> Response:
    base, query = own_base_of(request), read_query(request, DiffQuery)
    reader = reader_of(principal_of(request))
    counts, kept = await asyncio.to_thread(lambda: (base.counts(reader), base.generations.kept()))
    head = head_of(request, base, counts, "Generations")
    page = GenerationsPage(
        title=f"Generations of {base.name}",
        head=head,
        address=f"{head.address}/generations",
        lines=lines_of(head, kept),
        numbers=tuple(each.number for each in kept),
        pinned=next((each.number for each in kept if each.pinned), 0),
        configured=any(each.configured for each in kept),
        changes=await changes_of(request, base, kept, query) if kept else None,
    )
    return render(request, GENERATIONS, page)


async def publish(request: Request) -> Response:
    """Moves readers: to the newest generation, from where they follow later ones, or to one where they stay."""
    base, number = own_base_of(request), request.path_params["number"]
    kept = await asyncio.to_thread(base.generations.kept)
    if kept and number == kept[0].number:
        await record(request, Event(action="knowledge.published", target=base.name, after={"to": number}))
        await base.generations.publish(number)
    else:
        await record(request, Event(action="knowledge.rolled_back", target=base.name, after={"to": number}))
        await base.generations.roll_back(number)
    return RedirectResponse(request.url.path.rsplit("/", 2)[0], 303)


async def changes_of(
    request: Request, base: KnowledgeBase, kept: Sequence[Generation], query: DiffQuery
) -> Changes:
    """Raises `NotFound` for a generation that is not kept."""
    after = query.after or kept[0].number
    before = query.before or next((each.number for each in kept if each.number < after), 0)
    reader = reader_of(principal_of(request))
    found = await asyncio.to_thread(base.generations.changes, before, after, reader)
    return Changes(
        before=before,
        after=after,
        counts={change: sum(each.change == change for each in found) for change in get_args(Change)},
        documents=tuple(found[:MOST_CHANGES]),
        total=len(found),
    )


def lines_of(head: KnowledgeHead, kept: Sequence[Generation]) -> tuple[GenerationLine, ...]:
    """`kept` newest first."""
    lines = []
    for at, each in enumerate(kept):
        earlier = kept[at + 1] if at + 1 < len(kept) else None
        lines.append(
            GenerationLine(
                generation=each,
                newest=at == 0,
                more=None if earlier is None else each.documents - earlier.documents,
                diff=f"{head.address}/generations?after={each.number}#changes",
                act=f"{head.address}/generations/{each.number}/publish",
                question=question(each, newest=at == 0),
            )
        )
    return tuple(lines)


def question(generation: Generation, *, newest: bool) -> str:
    if newest:
        return f"Show generation {generation.number}, and from then on those of later runs?"
    return (
        f"Go back to generation {generation.number}? Answers come from its documents at once, and stay at it: later"
        " runs make generations that nobody sees until you publish them."
    )


def routes() -> list[BaseRoute]:
    every = "/knowledge/{name}/generations"
    return [
        page_route(every, show, role="admin"),
        PageRoute(every + "/{number:int}/publish", publish, role="admin", methods=("POST",)),
    ]
