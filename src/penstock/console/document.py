"""One document as text, opened at the range that an answer cites."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console.knowledge import base_of
from penstock.console.passages import knowledge_address, page_label, source_line
from penstock.console.query import read_query
from penstock.console.rendering import Section, View, is_partial, page_route, render
from penstock.errors import InvalidRequest
from penstock.gateway.services import Services
from penstock.knowledge.base import Document
from penstock.knowledge.readers import reader_of

DOCUMENT = View("document.html", "Knowledge", "passage")
ITEM = re.compile(r"\s|[-*+•|>#]|\d{1,3}[.)]|[a-z]\)")
WRAPPED_AT = 50
GAP = re.compile(r"\n[ \t]*\n\s*")


class Window(Struct, frozen=True):
    """How many characters are shown, and how many of them stand before the cited range."""

    before: int
    length: int


WHOLE_PAGE = Window(before=20_000, length=80_000)
BESIDE_CHAT = Window(before=2_500, length=8_000)


class DocumentQuery(Struct, frozen=True, kw_only=True):
    """A range of the text to mark, or a place to read on `from`. `chunk` names the cited passage."""

    chunk: str = ""
    start: int | None = None
    end: int | None = None
    place: int | None = msgspec.field(default=None, name="from")


class Run(Struct, frozen=True):
    """A piece of text that is marked or not; `first` is the beginning of the mark."""

    text: str
    cited: bool
    first: bool = False


class Block(Struct, frozen=True):
    """A paragraph (`level` 0) or a heading (2 to 6). `page` is the number of the page that begins here.

    `flows` says that the line breaks inside mean nothing: prose that was wrapped by hand.
    """

    level: int
    page: int | None
    flows: bool
    runs: tuple[Run, ...]


class DocumentPage(Struct, frozen=True, kw_only=True):
    """`place` says where the mark stands. `earlier` and `later` are addresses, `None` where the text ends."""

    title: str
    crumbs: tuple[Section, ...]
    path: str
    size: int
    pages: int | None
    chunks: int
    reason: str
    place: str
    blocks: tuple[Block, ...]
    earlier: str | None
    later: str | None


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    base = base_of(request)
    query = read_query(request, DocumentQuery)
    reader = reader_of(principal_of(request))
    document = await asyncio.to_thread(base.document, request.path_params["document_id"], reader)
    window = BESIDE_CHAT if is_partial(request) else WHOLE_PAGE
    crumbs = [Section(base.name, knowledge_address(base.name))]
    if len(services.knowledge) > 1:
        crumbs.insert(0, Section("Knowledge", "/knowledge"))
    return render(request, DOCUMENT, page_of(document, query, window, tuple(crumbs)))


def page_of(document: Document, query: DocumentQuery, window: Window, crumbs: tuple[Section, ...]) -> DocumentPage:
    """The last of `crumbs` is the knowledge base."""
    row, text = document.row, document.text
    cited = cited_range(query, len(text))
    low, high = shown_range(text, query, window)
    here = f"{crumbs[-1].href}/{quote(row.id, safe='')}"
    return DocumentPage(
        title=row.title or row.path,
        crumbs=crumbs,
        path=row.path,
        size=row.size,
        pages=row.pages,
        chunks=row.chunks,
        reason=row.reason,
        place=place_of(document, cited[0]) if cited else "",
        blocks=tuple(blocks(document, (low, high), cited)),
        earlier=f"{here}?{urlencode({'from': max(0, low - window.length)})}" if low > 0 else None,
        later=f"{here}?{urlencode({'from': high})}" if high < len(text) else None,
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


def place_of(document: Document, at: int) -> str:
    """The heading path and the page of a place in the text."""
    path: list[tuple[int, str]] = []
    for heading in document.headings:
        if heading.start > at:
            break
        path = [(level, name) for level, name in path if level < heading.level]
        path.append((heading.level, " ".join(document.text[heading.start : heading.end].split())))
    page = bisect.bisect_right(document.page_starts, at) or None
    return source_line("", [name for _, name in path], page_label(page))


def blocks(document: Document, shown: tuple[int, int], cited: tuple[int, int] | None) -> Iterator[Block]:
    """Headings and paragraphs of a part of the text, with the cited range marked in them."""
    pages = {start: number for number, start in enumerate(document.page_starts, 1)}
    waiting: int | None = None
    for start, end, level in pieces(document, shown):
        waiting = pages.get(start, waiting)
        for low, high in paragraphs(document.text, start, end):
            found = runs(document.text, low, high, cited)
            if level and repeats_title(document, low, high) and not any(run.cited for run in found):
                continue
            page, waiting = waiting, None
            flows = bool(level) or is_wrapped_prose(document.text[low:high])
            yield Block(min(level + 1, 6) if level else 0, page, flows, found)


def repeats_title(document: Document, low: int, high: int) -> bool:
    """Whether this heading is the document's title, which stands above the text anyway."""
    first = not document.text[:low].strip()
    return first and document.text[low:high].split() == document.row.title.split()


def is_wrapped_prose(text: str) -> bool:
    """Whether each line but the last is long and none begins like a list, a table or code."""
    *wrapped, last = text.split("\n")
    return all(len(line) >= WRAPPED_AT for line in wrapped) and not any(map(ITEM.match, [*wrapped[1:], last]))


def pieces(document: Document, shown: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Start, end and heading level (0 for plain text), cut where headings and pages begin and end."""
    low, high = shown
    levels = {heading.start: heading for heading in document.headings if low <= heading.start < high}
    cuts = {low, high, *levels, *(heading.end for heading in levels.values())}
    cuts.update(start for start in document.page_starts if low < start < high)
    ordered = sorted(cut for cut in cuts if low <= cut <= high)
    inside, level = low, 0
    for start, end in itertools.pairwise(ordered):
        if start in levels:
            inside, level = levels[start].end, levels[start].level
        yield start, end, level if start < inside else 0


def paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges between empty lines, without the space around them."""
    at = start
    for gap in [*((m.start(), m.end()) for m in GAP.finditer(text, start, end)), (end, end)]:
        piece = text[at : gap[0]]
        low = at + len(piece) - len(piece.lstrip("\n"))
        high = at + len(piece.rstrip())
        if low < high:
            yield low, high
        at = gap[1]


def runs(text: str, low: int, high: int, cited: tuple[int, int] | None) -> tuple[Run, ...]:
    start, end = cited or (0, 0)
    start, end = max(low, start), min(high, end)
    if start >= end:
        return (Run(text[low:high], False),)
    first = cited is not None and start == max(low, cited[0]) and not text[cited[0] : start].strip()
    found: Iterable[Run] = (
        Run(text[low:start], False),
        Run(text[start:end], True, first),
        Run(text[end:high], False),
    )
    return tuple(run for run in found if run.text)


def routes() -> list[BaseRoute]:
    return [page_route("/knowledge/{name}/{document_id}", show)]
