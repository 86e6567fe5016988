"""The pages of the knowledge: which bases there are, and one base with its documents and a search to try."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console.passages import address_of, knowledge_address, source_line, without_heading
from penstock.console.query import read_query
from penstock.console.rendering import View, history, page_route, render
from penstock.gateway.services import Services
from penstock.knowledge.base import DocumentRow, Hit, KnowledgeBase, KnowledgeCounts, Query, Reader
from penstock.knowledge.readers import reader_of

PAGE_SIZE = 50
HITS_OF = View("knowledge.html", "Knowledge", "hits")
DOCUMENTS_OF = View("knowledge.html", "Knowledge", "documents")
HITS = 5
LONGEST_QUESTION = 2000


class BaseLine(Struct, frozen=True):
    """One knowledge base in the list of all."""

    name: str
    address: str
    counts: KnowledgeCounts


class KnowledgeListPage(Struct, frozen=True, kw_only=True):
    title: str
    bases: tuple[BaseLine, ...]


class KnowledgeQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address of one base: a search to try, the filter of the list, and where it begins."""

    q: str = ""
    name: str = ""
    status: str = ""
    first: int = 1


class HitLine(Struct, frozen=True, kw_only=True):
    """A passage found, with its scores of 0 to 1."""

    source: str
    href: str
    text: str
    score: float
    vector_score: float | None
    text_score: float


class TriedSearch(Struct, frozen=True, kw_only=True):
    question: str
    generation: int
    took_us: int
    hits: tuple[HitLine, ...]


class KnowledgePage(Struct, frozen=True, kw_only=True):
    """One base. Of `total` documents that match, `first` to `last` are shown; `previous`, `next` are addresses."""

    title: str
    name: str
    address: str
    siblings: bool
    counts: KnowledgeCounts
    statuses: dict[str, int]
    max_bytes: int
    search: TriedSearch | None
    wanted_name: str
    wanted_status: str
    filtered: bool
    documents: tuple[DocumentRow, ...]
    first: int
    last: int
    total: int
    previous: str | None
    next: str | None


class Held(Struct, frozen=True):
    """What a base holds, all of it."""

    documents: list[DocumentRow]
    counts: KnowledgeCounts


async def show_all(request: Request) -> Response:
    services: Services = request.app.state.services
    principal = principal_of(request)
    readable, reader = services.readable(principal), reader_of(principal)
    if len(readable) == 1:
        return RedirectResponse(knowledge_address(next(iter(readable))), 307)
    bases = await asyncio.to_thread(
        lambda: tuple(
            BaseLine(name, knowledge_address(name), base.counts(reader)) for name, base in readable.items()
        )
    )
    return render(
        request, View("knowledge_list.html", "Knowledge"), KnowledgeListPage(title="Knowledge", bases=bases)
    )


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    base = base_of(request)
    query = read_query(request, KnowledgeQuery)
    reader = reader_of(principal_of(request))
    search = await try_search(base, query.q, reader) if query.q.strip() else None
    held = await asyncio.to_thread(lambda: Held(base.documents(reader), base.counts(reader)))
    page = page_of(services, base, query, search, held)
    if request.headers.get("hx-target") == "hits":
        address = f"{page.address}?{urlencode({'q': query.q})}" if search else page.address
        return render(request, HITS_OF, page, history(address, is_new=False))
    address = list_address(page.address, query, query.first)
    return render(request, DOCUMENTS_OF, page, history(address, is_new=query.first > 1))


def base_of(request: Request) -> KnowledgeBase:
    """The knowledge that the address names. Raises `NotFound`."""
    services: Services = request.app.state.services
    return services.knowledge_of(principal_of(request), request.path_params["name"])


async def try_search(base: KnowledgeBase, question: str, reader: Reader) -> TriedSearch:
    begun = time.perf_counter()
    result = await base.search(Query(text=question[:LONGEST_QUESTION], reader=reader, limit=HITS))
    took = time.perf_counter() - begun
    return TriedSearch(
        question=question,
        generation=result.generation,
        took_us=round(took * 1e6),
        hits=tuple(hit_line(base.name, hit) for hit in result.hits),
    )


def hit_line(knowledge: str, hit: Hit) -> HitLine:
    return HitLine(
        source=source_line(hit.document, hit.heading, hit.location),
        href=address_of(knowledge, hit.document_id, hit.start, hit.end),
        text=without_heading(hit.text, hit.heading),
        score=hit.score,
        vector_score=hit.vector_score,
        text_score=hit.text_score,
    )


def page_of(
    services: Services,
    base: KnowledgeBase,
    query: KnowledgeQuery,
    search: TriedSearch | None,
    held: Held,
) -> KnowledgePage:
    address = knowledge_address(base.name)
    matching = [row for row in held.documents if matches(row, query)]
    first = min(max(1, query.first), max(1, len(matching)))
    shown = matching[first - 1 : first - 1 + PAGE_SIZE]
    return KnowledgePage(
        title=base.name,
        name=base.name,
        address=address,
        siblings=len(services.knowledge) > 1,
        counts=held.counts,
        statuses=held.counts.statuses,
        max_bytes=largest_upload(services, base.name),
        search=search,
        wanted_name=query.name,
        wanted_status=query.status,
        filtered=bool(query.name or query.status),
        documents=tuple(shown),
        first=first,
        last=first + len(shown) - 1,
        total=len(matching),
        previous=list_address(address, query, max(1, first - PAGE_SIZE)) if first > 1 else None,
        next=list_address(address, query, first + PAGE_SIZE) if first + len(shown) <= len(matching) else None,
    )


def matches(row: DocumentRow, query: KnowledgeQuery) -> bool:
    wanted = query.name.casefold()
    named = wanted in row.path.casefold() or wanted in row.title.casefold()
    return named and query.status in ("", row.status)


def largest_upload(services: Services, name: str) -> int:
    """The bytes that one file may have here."""
    return int(services.settings.knowledge[name].max_file_mb * 1_000_000)


def list_address(address: str, query: KnowledgeQuery, first: int) -> str:
    """The list from a place on, under the same filter."""
    said = {"name": query.name, "status": query.status, "first": first if first > 1 else ""}
    filled = urlencode({name: value for name, value in said.items() if value})
    return f"{address}?{filled}" if filled else address


def routes() -> list[BaseRoute]:
    return [page_route("/knowledge", show_all), page_route("/knowledge/{name}", show)]
