"""The lines of a page of a PDF, and the parts of lines with so much space between them that they are cells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ctypes import c_double

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

DIVIDED = ("\ufffe", "\x02")
"""How the library marks a word that was divided at the end of a line."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
MARK = re.compile(r"[•‣◦▪·●○*–-]|\(?(?:\d{1,3}|[a-zA-Z])[.)]|\d{1,3}")
APART = 0.9
"""A gap as wide as this share of the letters' height separates cells; between words there is a third of that."""


class Box(Struct, frozen=True):
    """A piece of a line on its page as it is shown, in points; only differences count, not where zero is."""

    left: float
    right: float
    bottom: float
    top: float

    def turned(self, degrees: int) -> Box:
        """The box on a page that is shown turned clockwise."""
        left, right, bottom, top = self.left, self.right, self.bottom, self.top
        match degrees:
            case 90:
                return Box(bottom, top, -right, -left)
            case 180:
                return Box(-right, -left, -top, -bottom)
            case 270:
                return Box(-top, -bottom, left, right)
        return self


class Cell(Struct, frozen=True):
    """A part of a line with wide gaps around it."""

    text: str
    left: float
    right: float


class Line(Struct):
    """A line of a page; `height` of its letters in points, 0 where unknown; `level` above 0 for headings.

    `cells` has its parts where there are two at least, and the line as one where it is whole; none where it is not
    known where the line stands.
    """

    text: str
    height: float = 0.0
    level: int = 0
    bottom: float = 0.0
    cells: tuple[Cell, ...] = ()


class Lettering:
    """Where the letters of a page stand, as it is shown: the library says it of the page before it is turned."""

    def __init__(self, page: pypdfium2.PdfTextPage) -> None:
        self._page = page
        self._degrees = page.page.get_rotation()

    def height(self, at: int) -> float:
        """Of a letter by its place in the text; 0 where it is unknown."""
        box = pdfium.FS_RECTF()
        index = pdfium.FPDFText_GetCharIndexFromTextIndex(self._page, at)
        if index < 0 or not pdfium.FPDFText_GetLooseCharBox(self._page, index, box):
            return 0.0
        shown = Box(float(box.left), float(box.right), float(box.bottom), float(box.top)).turned(self._degrees)
        return round(abs(shown.top - shown.bottom), 1)

    def pieces(self, at: int, length: int) -> list[Box]:
        """The pieces that a line was drawn in, from left to right."""
        index = pdfium.FPDFText_GetCharIndexFromTextIndex(self._page, at)
        if index < 0 or not length:
            return []
        left, top, right, bottom = c_double(), c_double(), c_double(), c_double()
        boxes = [
            Box(left.value, right.value, bottom.value, top.value).turned(self._degrees)
            for number in range(pdfium.FPDFText_CountRects(self._page, index, length))
            if pdfium.FPDFText_GetRect(self._page, number, left, top, right, bottom)
        ]
        return sorted(boxes, key=lambda box: box.left)

    def middle(self, at: int) -> float | None:
        """How far right the middle of a letter is; `None` where it is unknown."""
        index = pdfium.FPDFText_GetCharIndexFromTextIndex(self._page, at)
        left, right, bottom, top = c_double(), c_double(), c_double(), c_double()
        if index < 0 or not pdfium.FPDFText_GetCharBox(self._page, index, left, right, bottom, top):
            return None
        shown = Box(left.value, right.value, bottom.value, top.value).turned(self._degrees)
        return (shown.left + shown.right) / 2


def read_lines(page: pypdfium2.PdfTextPage) -> Iterator[Line]:
    """The lines of a page, divided words joined, with the height of each line's first letter."""
    letters = Lettering(page)
    at = 0
    carried = ""
    for raw in page.get_text_range().split("\n"):
        height = letters.height(at)
        text = raw.rstrip("\r")
        boxes = letters.pieces(at, len(text)) if height else []
        if text.endswith(DIVIDED):
            carried += text[:-1]
        else:
            shown = printable(carried + text)
            cells = cells_of(letters, at, text, spans_of(boxes, height))
            yield Line(shown, height, 0, boxes[0].bottom if boxes else 0.0, cells)
            carried = ""
        at += len(raw.encode("utf-16-le")) // 2 + 1
    if carried:
        yield Line(printable(carried))


def printable(text: str) -> str:
    return CONTROL.sub("", text).strip()


def spans_of(boxes: Sequence[Box], height: float) -> list[tuple[float, float]]:
    """From where to where the parts of a line go that have wide gaps between them."""
    spans: list[tuple[float, float]] = []
    for box in boxes:
        if spans and box.left - spans[-1][1] < APART * height:
            spans[-1] = (spans[-1][0], max(spans[-1][1], box.right))
        else:
            spans.append((box.left, box.right))
    return spans


def cells_of(letters: Lettering, at: int, text: str, spans: Sequence[tuple[float, float]]) -> tuple[Cell, ...]:
    """A line cut at its wide gaps; whole where it has none, and where it is an item behind its mark."""
    if not spans:
        return ()
    whole = (Cell(printable(text), spans[0][0], spans[-1][1]),)
    if len(spans) == 1:
        return whole
    parts = ["" for _ in spans]
    current = 0
    for offset, char in enumerate(text):
        middle = None if char.isspace() else letters.middle(at + offset)
        if middle is not None:
            current = next((number for number, span in enumerate(spans) if middle <= span[1]), len(spans) - 1)
        parts[current] += char
    cells = tuple(
        Cell(" ".join(printable(part).split()), *span)
        for part, span in zip(parts, spans, strict=True)
        if part.strip()
    )
    return whole if len(cells) == 2 and MARK.fullmatch(cells[0].text) else cells
