"""The pages of the knowledge: which bases there are, and the documents of one."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console.knowledge_head import KnowledgeHead, base_of, head_of
from penstock.console.passages import knowledge_address
from penstock.console.query import read_query
from penstock.console.rendering import View, history, page_route, render
from penstock.gateway.services import Services
from penstock.knowledge.base import DocumentRow, KnowledgeCounts
from penstock.knowledge.readers import reader_of

PAGE_SIZE = 50
LIST = View("knowledge_list.html", "Knowledge")
DOCUMENTS = View("knowledge.html", "Knowledge", "documents")


class BaseLine(Struct, frozen=True):
    """One knowledge base in the list of all."""

    name: str
    address: str
    counts: KnowledgeCounts


class KnowledgeListPage(Struct, frozen=True, kw_only=True):
    title: str
    bases: tuple[BaseLine, ...]


class DocumentsQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address: the filter of the list, and where it begins."""

    name: str = ""
    status: str = ""
    source: str = ""
    first: int = 1


class DocumentsPage(Struct, frozen=True, kw_only=True):
    """Of `total` documents that match, `first` to `last` are shown; `previous`, `next` are addresses.

    `sources` counts the documents of each; `max_bytes` is the most that a file may have.
    """

    title: str
    head: KnowledgeHead
    query: DocumentsQuery
    sources: dict[str, int]
    max_bytes: int
    filtered: bool
    documents: tuple[DocumentRow, ...]
    first: int
    last: int
    total: int
    previous: str | None
    next: str | None


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
    return render(request, LIST, KnowledgeListPage(title="Knowledge", bases=bases))


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    base, reader = base_of(request), reader_of(principal_of(request))
    query = read_query(request, DocumentsQuery)
    rows, counts = await asyncio.to_thread(lambda: (base.documents(reader), base.counts(reader)))
    head = head_of(request, base, counts, "Documents")
    page = page_of(head, query, rows, largest_upload(services, base.name))
    address = list_address(head.address, query, query.first)
    return render(request, DOCUMENTS, page, history(address, is_new=query.first > 1))


def page_of(head: KnowledgeHead, query: DocumentsQuery, rows: list[DocumentRow], max_bytes: int) -> DocumentsPage:
    matching = [row for row in rows if matches(row, query)]
    first = min(max(1, query.first), max(1, len(matching)))
    shown = matching[first - 1 : first - 1 + PAGE_SIZE]
    sources = sorted({row.source for row in rows})
    return DocumentsPage(
        title=head.name,
        head=head,
        query=query,
        sources={name: sum(row.source == name for row in rows) for name in sources},
        max_bytes=max_bytes,
        filtered=bool(query.name or query.status or query.source),
        documents=tuple(shown),
        first=first,
        last=first + len(shown) - 1,
        total=len(matching),
        previous=list_address(head.address, query, max(1, first - PAGE_SIZE)) if first > 1 else None,
        next=list_address(head.address, query, first + PAGE_SIZE) if first + len(shown) <= len(matching) else None,
    )


def matches(row: DocumentRow, query: DocumentsQuery) -> bool:
    wanted = query.name.casefold()
    named = wanted in row.path.casefold() or wanted in row.title.casefold()
    return named and query.status in ("", row.status) and query.source in ("", row.source)


def largest_upload(services: Services, name: str) -> int:
    """The bytes that one file may have here."""
    return int(services.settings.knowledge[name].max_file_mb * 1_000_000)


def list_address(address: str, query: DocumentsQuery, first: int) -> str:
    """The list from a place on, under the same filter."""
    said = {"name": query.name, "status": query.status, "source": query.source, "first": first if first > 1 else ""}
    filled = urlencode({name: value for name, value in said.items() if value})
    return f"{address}?{filled}" if filled else address


def routes() -> list[BaseRoute]:
    return [page_route("/knowledge", show_all), page_route("/knowledge/{name}", show)]
