"""A document's text in headings and paragraphs, with the cited range marked and the passages told apart."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from penstock.console.passages import page_label, source_line
from penstock.knowledge.base import Document
from penstock.knowledge.inspection import DocumentPassage

ITEM = re.compile(r"\s|[-*+•|>#]|\d{1,3}[.)]|[a-z]\)")
WRAPPED_AT = 50
GAP = re.compile(r"\n[ \t]*\n\s*")


class Run(Struct, frozen=True):
    """A piece of text that is cited or not; `first` is the beginning of the citation. `passage` is the number of
    the passage that it belongs to, from 1 on, 0 for none; it `starts` there."""

    text: str
    cited: bool
    first: bool = False
    passage: int = 0
    starts: bool = False


class Block(Struct, frozen=True):
    """A paragraph (`level` 0) or a heading (2 to 6), from character `at` on. `page` is the number of the page that
    begins here.

    `flows` says that the line breaks inside mean nothing: prose that was wrapped by hand.
    """

    level: int
    page: int | None
    flows: bool
    runs: tuple[Run, ...]
    at: int = 0


class Cuts:
    """Where passages begin and end, in the order of their beginnings."""

    def __init__(self, passages: Sequence[DocumentPassage] = ()) -> None:
        self._starts = [each.start for each in passages]
        self._ends = [each.end for each in passages]
        self._edges = sorted({*self._starts, *self._ends})

    def within(self, low: int, high: int) -> list[int]:
        """The edges inside a range."""
        return self._edges[bisect.bisect_right(self._edges, low) : bisect.bisect_left(self._edges, high)]

    def at(self, place: int) -> int:
        """The number of the passage of a place; where several overlap, of the one that begins last."""
        for number in range(bisect.bisect_right(self._starts, place), 0, -1):
            if self._ends[number - 1] > place:
                return number
            if self._ends[number - 1] < place - LONGEST_PASSAGE:
                break
        return 0

    def start(self, number: int) -> int:
        return self._starts[number - 1]


LONGEST_PASSAGE = 50_000
"""Characters behind a passage after which none before it is looked for."""

NONE = Cuts()


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


def blocks(
    document: Document, shown: tuple[int, int], cited: tuple[int, int] | None, cuts: Cuts = NONE
) -> Iterator[Block]:
    """Headings and paragraphs of a part of the text, with the cited range marked in them."""
    pages = {start: number for number, start in enumerate(document.page_starts, 1)}
    waiting: int | None = None
    below = 1
    for start, end, level in pieces(document, shown):
        waiting = pages.get(start, waiting)
        for low, high in paragraphs(document.text, start, end):
            found = tuple(runs(document.text, (low, high), cited, cuts))
            if level and repeats_title(document, low, high) and not any(run.cited or run.passage for run in found):
                below = 0
                continue
            page, waiting = waiting, None
            flows = bool(level) or is_wrapped_prose(document.text[low:high])
            yield Block(min(max(level + below, 2), 6) if level else 0, page, flows, found, low)


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


def runs(text: str, shown: tuple[int, int], cited: tuple[int, int] | None, cuts: Cuts) -> Iterator[Run]:
    """A range in pieces, each within or outside of the citation and in one passage or none."""
    low, high = shown
    start, end = cited or (0, 0)
    edges = {low, high, *cuts.within(low, high), *(at for at in (start, end) if low < at < high)}
    begun: set[int] = set()
    for first, last in itertools.pairwise(sorted(edges)):
        within = start <= first < end
        opens = within and (first == start or (first == low and not text[start:first].strip()))
        number = cuts.at(first)
        starts = bool(number) and number not in begun and not text[cuts.start(number) : first].strip()
        begun.add(number)
        yield Run(text[first:last], within, opens, number, starts)
