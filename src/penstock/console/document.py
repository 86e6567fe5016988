"""One document: its text as extracted, its passages drawn over it, opened at the range that an answer cites."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console import formats
from penstock.console.choices import Option
from penstock.console.document_text import Block, Cuts, blocks, place_of
from penstock.console.knowledge_head import base_of
from penstock.console.passages import knowledge_address, page_label, source_line
from penstock.console.query import read_query
from penstock.console.rendering import Section, View, is_partial, page_route, render
from penstock.errors import InvalidRequest
from penstock.gateway.services import Services
from penstock.knowledge.base import Document, DocumentRow
from penstock.knowledge.chunking import estimate_tokens
from penstock.knowledge.inspection import DocumentPassage
from penstock.knowledge.readers import reader_of

DOCUMENT = View("document.html", "Knowledge", "passage")
MOST_PLACES = 400
"""Headings and pages in the outline."""


class Window(Struct, frozen=True):
    """How many characters are shown, and how many of them stand before the cited range."""

    before: int
    length: int


WHOLE_PAGE = Window(before=20_000, length=80_000)
BESIDE_CHAT = Window(before=2_500, length=8_000)


class DocumentQuery(Struct, frozen=True, kw_only=True):
    """A range of the text to mark, or a place to read on `from`. `chunk` names the cited passage. `view` says
    whether passages are drawn over the text; by default they are where nothing is cited."""

    chunk: str = ""
    start: int | None = None
    end: int | None = None
    place: int | None = msgspec.field(default=None, name="from")
    view: Literal["", "passages", "text"] = ""

    @property
    def draws(self) -> bool:
        return self.view == "passages" or (self.view == "" and self.start is None)


class Fact(Struct, frozen=True):
    """What is known of the document, in words; `mono` is for what machines wrote."""

    name: str
    value: str
    mono: bool = False


class Place(Struct, frozen=True):
    """A heading of the outline (`level` from 1 on), or a page."""

    label: str
    href: str
    level: int = 1


class PassageNote(Struct, frozen=True, kw_only=True):
    """What there is to say of a passage on the page. `tokens` are estimated. `shares` is its parent, the same for
    all that are read together, "" without one."""

    number: int
    tokens: int
    place: str
    range: str
    shares: str


class DocumentPage(Struct, frozen=True, kw_only=True):
    """`place` says where the mark stands. `notes` are of the passages drawn over the text, none where it is shown
    plain; `drawn` and `plain` lead from one to the other. `opens` is where people open the document itself.
    `earlier` and `later` are addresses, `None` where the text ends."""

    title: str
    crumbs: tuple[Section, ...]
    row: DocumentRow
    facts: tuple[Fact, ...]
    opens: str
    outline: tuple[Place, ...]
    pages: tuple[Place, ...]
    place: str
    blocks: tuple[Block, ...]
    notes: tuple[PassageNote, ...]
    views: tuple[Option, ...]
    earlier: str | None
    later: str | None


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    base = base_of(request)
    query = read_query(request, DocumentQuery)
    reader, document_id = reader_of(principal_of(request)), request.path_params["document_id"]
    document = await asyncio.to_thread(base.document, document_id, reader)
    window = BESIDE_CHAT if is_partial(request) else WHOLE_PAGE
    drawn = query.draws and not is_partial(request)
    passages = await asyncio.to_thread(base.inspection.passages, document_id, reader) if drawn else []
    crumbs = [Section(base.name, knowledge_address(base.name))]
    if len(services.knowledge) > 1:
        crumbs.insert(0, Section("Knowledge", "/knowledge"))
    return render(request, DOCUMENT, page_of(document, query, window, tuple(crumbs), passages))


def page_of(
    document: Document,
    query: DocumentQuery,
    window: Window,
    crumbs: tuple[Section, ...],
    passages: Sequence[DocumentPassage] = (),
) -> DocumentPage:
    """The last of `crumbs` is the knowledge base."""
    row, text = document.row, document.text
    cited = cited_range(query, len(text))
    low, high = shown_range(text, query, window)
    here = f"{crumbs[-1].href}/{quote(row.id, safe='')}"
    view = {"view": query.view} if query.view else {}
    return DocumentPage(
        title=row.title or row.path,
        crumbs=crumbs,
        row=row,
        facts=tuple(facts(row)),
        opens=row.url if row.url.startswith(("https://", "http://")) else "",
        outline=tuple(outline(document, (low, high), here)),
        pages=tuple(pages(document, (low, high), here)),
        place=place_of(document, cited[0]) if cited else "",
        blocks=tuple(blocks(document, (low, high), cited, Cuts(passages))),
        notes=tuple(notes(document, (low, high), passages)),
        views=views(here, query),
        earlier=f"{here}?{urlencode({'from': max(0, low - window.length), **view})}" if low > 0 else None,
        later=f"{here}?{urlencode({'from': high, **view})}" if high < len(text) else None,
    )


def facts(row: DocumentRow) -> Iterator[Fact]:
    yield Fact("Source", row.source)
    yield Fact("Kind", row.kind)
    if row.parser:
        yield Fact("Read by", row.parser, mono=True)
    yield Fact("Size", formats.size(row.size))
    yield Fact("Text", f"{row.characters:,} characters")
    if row.pages is not None:
        yield Fact("Pages", f"{row.pages:,}")
    yield Fact("Passages", f"{row.chunks:,}")
    yield Fact("Found by", ", ".join(row.readers) or "everybody who may read here")
    for name, value in row.metadata.items():
        yield Fact(name, ", ".join(value) if isinstance(value, tuple) else str(value), mono=True)


def outline(document: Document, shown: tuple[int, int], here: str) -> Iterator[Place]:
    """The headings, each with where it is: on this page, or on another part of the text."""
    for heading in document.headings[:MOST_PLACES]:
        label = " ".join(document.text[heading.start : heading.end].split())
        yield Place(label, address_of_place(heading.start, shown, here), heading.level)


def pages(document: Document, shown: tuple[int, int], here: str) -> Iterator[Place]:
    for number, start in enumerate(document.page_starts[:MOST_PLACES], 1):
        inside = shown[0] <= start < shown[1]
        yield Place(str(number), f"#page-{number}" if inside else f"{here}?{urlencode({'from': start})}")


def address_of_place(at: int, shown: tuple[int, int], here: str) -> str:
    return f"#at-{at}" if shown[0] <= at < shown[1] else f"{here}?{urlencode({'from': at})}"


def notes(document: Document, shown: tuple[int, int], passages: Sequence[DocumentPassage]) -> Iterator[PassageNote]:
    """Of the passages that are at least in part on the page."""
    for number, each in enumerate(passages, 1):
        if each.end <= shown[0] or each.start >= shown[1]:
            continue
        parent = f"{each.parent[0]:,}–{each.parent[1]:,}" if each.parent else ""
        yield PassageNote(
            number=number,
            tokens=estimate_tokens(document.text[each.start : each.end]),
            place=source_line("", each.heading, each.location or page_label(each.page)),
            range=f"{each.start:,}–{each.end:,}",
            shares=parent,
        )


def views(here: str, query: DocumentQuery) -> tuple[Option, ...]:
    """The text with its passages, and without."""
    kept = {"start": query.start, "end": query.end, "from": query.place}
    known = {name: value for name, value in kept.items() if value is not None}
    return tuple(
        Option(label, f"{here}?{urlencode({**known, 'view': view})}", query.draws is (view == "passages"))
        for label, view in (("Passages", "passages"), ("Text", "text"))
    )


def cited_range(query: DocumentQuery, length: int) -> tuple[int, int] | None:
    """Raises `InvalidRequest` for a range that the text does not have."""
    if query.start is None or query.end is None:
        return None
    if not 0 <= query.start < query.end <= length:
        raise InvalidRequest(
            f"This document has no characters {query.start} to {query.end}; it has {length:,}.",
            hint="Open it from the answer that cites it, or from the list of documents.",
        )
    return query.start, query.end


def shown_range(text: str, query: DocumentQuery, window: Window) -> tuple[int, int]:
    """The part of the text that is shown, whole paragraphs where there are any near its ends."""
    wanted = query.start if query.start is not None else query.place or 0
    before = window.before if query.start is not None else 0
    low = max(0, min(wanted, len(text)) - before)
    if low > 0:
        found = text.rfind("\n\n", max(0, low - 1000), low + 2)
        low = found + 2 if found >= 0 else low
    high = max(low + window.length, query.end or 0)
    if high >= len(text):
        return low, len(text)
    found = text.find("\n\n", high, high + 1000)
    return low, found if found >= 0 else high


def routes() -> list[BaseRoute]:
    return [page_route("/knowledge/{name}/{document_id}", show)]
