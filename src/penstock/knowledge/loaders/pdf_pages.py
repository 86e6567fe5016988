"""The pages of a PDF: their lines, what their picture was read to, and what only repeats from page to page."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from penstock.knowledge.loaders import ocr
from penstock.knowledge.loaders.base import ReadRules
from penstock.knowledge.loaders.pdf_lines import Line, read_lines

PAGE_NUMBER = re.compile(r"(?:page )?[-–]? ?(?:#|[ivxlc]+) ?[-–]?(?: (?:of|/) #)?")
REPEATED_SHARE = 0.6
FEWEST_PAGES = 3
FEWEST_CHARACTERS = 25
"""A page with fewer, a stamp on a scan, counts as one without text if a picture covers most of it."""
MOSTLY = 0.5
A_LITTLE = 0.02
MANY_PATHS = 100
"""Lines and curves; a page without text that has so many may be text drawn as curves."""


class Page(Struct):
    """A page on its way: its lines, what a picture of it was read to, and why it could not be read, if so."""

    lines: list[Line]
    pictured: list[str] = []
    missing: Literal["", "broken", "picture", "language", "time"] = ""


def read_pages(document: pypdfium2.PdfDocument, rules: ReadRules) -> list[Page]:
    """Every page by its text, or by its picture where it has no text and there is somebody to read it."""
    return [read_page(document, number, rules) for number in range(len(document))]


def read_page(document: pypdfium2.PdfDocument, number: int, rules: ReadRules) -> Page:
    try:
        page = document[number]
        try:
            text_page = page.get_textpage()
            lines = list(read_lines(text_page))
            text_page.close()
            if not is_picture(page, sum(len(line.text) for line in lines)):
                return Page(lines)
            return read_picture(page, lines, rules)
        finally:
            page.close()
    except (pypdfium2.PdfiumError, ValueError):
        return Page([], missing="broken")


def is_picture(page: pypdfium2.PdfPage, characters: int) -> bool:
    """Whether a page is one to look at: (almost) no text, and pictures on it, or text drawn as lines."""
    if characters >= FEWEST_CHARACTERS:
        return False
    width, height = page.get_size()
    covered = 0.0
    drawn = 0
    for item in page.get_objects(max_depth=3):
        if item.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = item.get_bounds()
            covered += abs((right - left) * (top - bottom))
        drawn += item.type == pdfium.FPDF_PAGEOBJ_PATH
    share = covered / max(1.0, width * height)
    return share >= (MOSTLY if characters else A_LITTLE) or (not characters and drawn >= MANY_PATHS)


def read_picture(page: pypdfium2.PdfPage, lines: list[Line], rules: ReadRules) -> Page:
    """A page as Tesseract reads it; what text it has stays where Tesseract finds none."""
    if not ocr.installed():
        return Page(lines, missing="picture")
    if ocr.lacking(rules.languages):
        return Page(lines, missing="language")
    left = rules.deadline - time.monotonic()
    if left < ocr.SHORTEST:
        return Page(lines, missing="time")
    width, height = page.get_size()
    scale = min(ocr.DPI / 72, (ocr.MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=False)
    try:
        picture = ocr.Picture(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer))
        paragraphs = ocr.read(picture, left, rules.languages)
    except TimeoutError:
        return Page(lines, missing="time")
    finally:
        bitmap.close()
    return Page([], pictured=paragraphs) if paragraphs else Page(lines)


def drop_repeated(pages: Sequence[list[Line]]) -> None:
    """Takes off what pages begin or end with only because they are pages: running heads, numbers, print dates."""
    if len(pages) < FEWEST_PAGES:
        return
    for edge in (0, 0, -1, -1):  # at most two lines at either end
        seen = Counter(pattern(lines[edge].text) for lines in pages if lines)
        for lines in pages:
            if lines and is_furniture(pattern(lines[edge].text), seen, len(pages)):
                del lines[edge]


def is_furniture(line: str, seen: Mapping[str, int], pages: int) -> bool:
    """Whether a first or last line is a page number, or repeated: often, or with a number that runs."""
    if PAGE_NUMBER.fullmatch(line):
        return True
    return bool(line) and (seen[line] >= REPEATED_SHARE * pages or ("#" in line and seen[line] >= FEWEST_PAGES))


def pattern(line: str) -> str:
    return re.sub(r"\d+", "#", line.casefold()).strip()
