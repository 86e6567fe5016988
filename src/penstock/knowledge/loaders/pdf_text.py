"""The lines of a PDF put back into headings, paragraphs and tables.

Headings come from the table of contents where there is one, else from lines whose letters are larger than those of
the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pypdfium2

from penstock.knowledge.loaders.base import TextBuilder
from penstock.knowledge.loaders.pdf_lines import Line
from penstock.knowledge.loaders.pdf_pages import Page
from penstock.knowledge.loaders.pdf_tables import table_at

SENTENCE_END = re.compile(r"[.!?:…。！？][\"'”’»)\]]*$")
ITEM = re.compile(r"^\s*(?:[•‣◦▪·●○*–-]|\(?\d{1,3}[.)]|\(?[a-z]\))\s+\S")
UNKNOWN = -1
LARGER = 1.15
LONGEST_HEADING = 120
SHORT_LINE = 0.75
"""A line shorter than this share of the page's longest ends a paragraph if it ends a sentence."""


def mark_headings(document: pypdfium2.PdfDocument, pages: Sequence[list[Line]]) -> bool:
    """Sets the level of the lines that are headings; returns whether a table of contents says which."""
    named: dict[int, dict[str, int]] = {}
    for entry in document.get_toc():
        destination = entry.get_dest()
        page = destination.get_index() if destination is not None else None
        if page is not None:
            named.setdefault(page, {})[plain(entry.get_title())] = min(entry.level + 1, 6)
    if not named:
        mark_larger(pages)
        return False
    for number, lines in enumerate(pages):
        for line in lines:
            line.level = named.get(number, {}).get(plain(line.text), 0)
    return True


def mark_larger(pages: Sequence[list[Line]]) -> None:
    """Takes short lines in larger letters than most of the text has for headings, the largest for the highest."""
    sizes = Counter[float]()
    for lines in pages:
        for line in lines:
            sizes[line.height] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted({size for size in sizes if body > 0 and size >= body * LARGER}, reverse=True)
    levels = {size: min(rank, 6) for rank, size in enumerate(larger, 1)}
    for lines in pages:
        for line in lines:
            titled = len(line.text) <= LONGEST_HEADING and any(char.isalpha() for char in line.text)
            line.level = levels.get(line.height, 0) if titled else 0


def plain(title: str) -> str:
    return " ".join(title.replace("\0", " ").split()).casefold()


class PageWriter:
    """Appends pages to a document, and knows where the page under way begins in it."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._start = UNKNOWN
        self._paragraph: list[str] = []

    def add(self, page: Page) -> int:
        """Appends a page; returns the character at which it starts."""
        self._start = UNKNOWN
        for text in page.pictured:
            self._began(self._builder.add("paragraph", text))
        self._add_lines(page.lines)
        return self._builder.length if self._start == UNKNOWN else self._start

    def _add_lines(self, lines: Sequence[Line]) -> None:
        short = SHORT_LINE * max((len(line.text) for line in lines if not line.level), default=0)
        before: Line | None = None
        at = 0
        while at < len(lines):
            line = lines[at]
            table = table_at(lines, at)
            if table is not None:
                self._finish()
                self._began(self._builder.add("table", "\n".join(shown(row) for row in table.rows)))
                before, at = None, table.end
                continue
            if line.level:
                self._finish()
                self._began(self._builder.add("heading", line.text, line.level))
            else:
                if self._paragraph and before is not None and breaks(before, line, short):
                    self._finish()
                if line.text:
                    self._paragraph.append(line.text)
            before, at = line, at + 1
        self._finish()

    def _finish(self) -> None:
        """Ends the paragraph; the first of a page may go on with the last of the page before."""
        text = " ".join(self._paragraph)
        self._paragraph.clear()
        if text and self._start == UNKNOWN:
            self._start = self._builder.flow(text)
        elif text:
            self._builder.add("paragraph", text)

    def _began(self, at: int) -> None:
        self._start = at if self._start == UNKNOWN else self._start


def shown(row: Sequence[str]) -> str:
    """A row as text, empty cells kept where a later one is not, so that columns stay where they are."""
    cells = list(row)
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells)


def breaks(before: Line, line: Line, short: float) -> bool:
    """Whether a paragraph ends between two lines: a blank one, an item, smaller print, a short last line."""
    ended = SENTENCE_END.search(before.text) is not None and len(before.text) < short
    sizes = sorted((before.height, line.height))
    return not line.text or ended or ITEM.match(line.text) is not None or sizes[0] * LARGER < sizes[1]
