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
    """A piece of a line on its page, in points from the left and from the bottom."""

    left: float
    right: float
    bottom: float


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


def read_lines(page: pypdfium2.PdfTextPage) -> Iterator[Line]:
    """The lines of a page, divided words joined, with the height of each line's first letter."""
    at = 0
    carried = ""
    for raw in page.get_text_range().split("\n"):
        height = letter_height(page, at)
        text = raw.rstrip("\r")
        boxes = boxes_of(page, at, len(text)) if height else []
        if text.endswith(DIVIDED):
            carried += text[:-1]
        else:
            shown = printable(carried + text)
            yield Line(shown, height, 0, boxes[0].bottom if boxes else 0.0, cells_of(page, at, text, boxes, height))
            carried = ""
        at += len(raw.encode("utf-16-le")) // 2 + 1
    if carried:
        yield Line(printable(carried))


def printable(text: str) -> str:
    return CONTROL.sub("", text).strip()


def letter_height(page: pypdfium2.PdfTextPage, text_index: int) -> float:
    box = pdfium.FS_RECTF()
    index = pdfium.FPDFText_GetCharIndexFromTextIndex(page, text_index)
    if index < 0 or not pdfium.FPDFText_GetLooseCharBox(page, index, box):
        return 0.0
    return round(abs(float(box.top) - float(box.bottom)), 1)


def boxes_of(page: pypdfium2.PdfTextPage, at: int, length: int) -> list[Box]:
    """Where the pieces stand that a line was drawn in, from left to right."""
    index = pdfium.FPDFText_GetCharIndexFromTextIndex(page, at)
    if index < 0 or not length:
        return []
    left, top, right, bottom = c_double(), c_double(), c_double(), c_double()
    boxes = [
        Box(left.value, right.value, bottom.value)
        for number in range(pdfium.FPDFText_CountRects(page, index, length))
        if pdfium.FPDFText_GetRect(page, number, left, top, right, bottom)
    ]
    return sorted(boxes, key=lambda box: box.left)


def cells_of(
    page: pypdfium2.PdfTextPage, at: int, text: str, boxes: Sequence[Box], height: float
) -> tuple[Cell, ...]:
    """A line cut at its wide gaps; whole where it has none, and where it is an item behind its mark."""
    if not boxes:
        return ()
    spans: list[tuple[float, float]] = []
    for box in boxes:
        if spans and box.left - spans[-1][1] < APART * height:
            spans[-1] = (spans[-1][0], max(spans[-1][1], box.right))
        else:
            spans.append((box.left, box.right))
    whole = (Cell(printable(text), spans[0][0], spans[-1][1]),)
    if len(spans) == 1:
        return whole
    parts = ["" for _ in spans]
    left, right, bottom, top = c_double(), c_double(), c_double(), c_double()
    current = 0
    for offset, char in enumerate(text):
        index = pdfium.FPDFText_GetCharIndexFromTextIndex(page, at + offset)
        if not char.isspace() and index >= 0 and pdfium.FPDFText_GetCharBox(page, index, left, right, bottom, top):
            middle = (left.value + right.value) / 2
            current = next((number for number, span in enumerate(spans) if middle <= span[1]), len(spans) - 1)
        parts[current] += char
    cells = tuple(
        Cell(" ".join(printable(part).split()), *span)
        for part, span in zip(parts, spans, strict=True)
        if part.strip()
    )
    return whole if len(cells) == 2 and MARK.fullmatch(cells[0].text) else cells
