"""PDF: the text of each page, its lines put back into paragraphs, page headers and footers left out.

A PDF knows lines, not paragraphs or headings. Headings come from its table of contents where it has one, else
from lines whose letters are larger than those of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder, Unloadable

DIVIDED = ("\ufffe", "\x02")
"""How the library marks a word that was divided at the end of a line."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
SENTENCE_END = re.compile(r"[.!?:…。！？][\"'”’»)\]]*$")
ITEM = re.compile(r"^\s*(?:[•‣◦▪·●○*–-]|\(?\d{1,3}[.)]|\(?[a-z]\))\s+\S")
PAGE_NUMBER = re.compile(r"(?:page )?[-–]? ?(?:#|[ivxlc]+) ?[-–]?(?: (?:of|/) #)?")
REPEATED_SHARE = 0.6
FEWEST_PAGES = 3
LARGER = 1.15
LONGEST_HEADING = 120
SHORT_LINE = 0.75
"""A line shorter than this share of the page's longest ends a paragraph if it ends a sentence."""


class Line(Struct):
    """A line of a page; `height` of its letters in points, 0 where unknown; `level` above 0 for headings."""

    text: str
    height: float = 0.0
    level: int = 0


def load_pdf(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is encrypted, not a PDF, broken, or has no text."""
    if b"%PDF-" not in data[:1024]:
        raise Unloadable("corrupt", "It is not a PDF, whatever its name says. Give it its right extension.")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise refusal(error) from None
    try:
        pages, broken = read_pages(document)
        drop_repeated(pages)
        has_contents = mark_headings(document, pages)
        title = " ".join(document.get_metadata_value("Title").replace("\0", " ").split())
    finally:
        document.close()
    builder = TextBuilder()
    page_starts = tuple(add_page(builder, lines) for lines in pages)
    if not builder.text():
        if broken:
            raise Unloadable(
                "corrupt", "None of its pages can be read. Open it in a PDF program and save it again."
            )
        raise Unloadable(
            "no_text", "It holds pictures of pages, not text. Run OCR over it first, such as ocrmypdf."
        )
    return LoadedDocument(
        text=builder.text(),
        title=title or ("" if has_contents else builder.title()),
        blocks=tuple(builder.blocks),
        page_starts=page_starts,
        status="partial" if broken else "ok",
        reason=f"Page {', '.join(map(str, broken))} could not be read." if broken else "",
    )


def refusal(error: pypdfium2.PdfiumError) -> Unloadable:
    code = getattr(error, "err_code", None)
    if code == pdfium.FPDF_ERR_PASSWORD:
        return Unloadable("encrypted", "It is protected by a password. Save a copy without one.")
    if code == pdfium.FPDF_ERR_SECURITY:
        return Unloadable("encrypted", "Its kind of encryption cannot be read. Save a copy without protection.")
    return Unloadable("corrupt", "It is broken or only a part of a PDF. Get it again, or print it to a new PDF.")


def read_pages(document: pypdfium2.PdfDocument) -> tuple[list[list[Line]], list[int]]:
    """The lines of every page, and the numbers of the pages that could not be read."""
    pages: list[list[Line]] = []
    broken: list[int] = []
    for number in range(len(document)):
        try:
            page = document[number]
            text_page = page.get_textpage()
            pages.append(list(read_lines(text_page)))
            text_page.close()
            page.close()
        except (pypdfium2.PdfiumError, ValueError):
            pages.append([])
            broken.append(number + 1)
    return pages, broken


def read_lines(page: pypdfium2.PdfTextPage) -> Iterator[Line]:
    """The lines of a page, divided words joined, with the height of each line's first letter."""
    at = 0
    carried = ""
    for raw in page.get_text_range().split("\n"):
        height = letter_height(page, at)
        at += len(raw.encode("utf-16-le")) // 2 + 1
        text = raw.rstrip("\r")
        if text.endswith(DIVIDED):
            carried += text[:-1]
            continue
        yield Line(printable(carried + text), height)
        carried = ""
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


def add_page(builder: TextBuilder, lines: Sequence[Line]) -> int:
    """Appends a page in paragraphs; returns the character at which it starts."""
    longest = max((len(line.text) for line in lines if not line.level), default=0)
    start: int | None = None
    paragraph: list[str] = []

    def finish(*, first: bool = False) -> None:
        nonlocal start
        text = " ".join(paragraph)
        paragraph.clear()
        if text:
            at = builder.flow(text) if first else builder.add("paragraph", text)
            start = at if start is None else start

    for before, line in zip([None, *lines], lines, strict=False):
        if line.level:
            finish(first=start is None)
            at = builder.add("heading", line.text, line.level)
            start = at if start is None else start
            continue
        if paragraph and before is not None and breaks(before, line, SHORT_LINE * longest):
            finish(first=start is None)
        if line.text:
            paragraph.append(line.text)
    finish(first=start is None)
    return builder.length if start is None else start


def breaks(before: Line, line: Line, short: float) -> bool:
    """Whether a paragraph ends between two lines: a blank one, an item, smaller print, a short last line."""
    ended = SENTENCE_END.search(before.text) is not None and len(before.text) < short
    sizes = sorted((before.height, line.height))
    return not line.text or ended or ITEM.match(line.text) is not None or sizes[0] * LARGER < sizes[1]
