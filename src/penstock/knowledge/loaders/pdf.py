"""PDF: the text of each page, its lines put back into paragraphs and tables, page headers and footers left out.

A page without text is read from its picture by Tesseract where that is installed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from penstock.knowledge.filters import Value
from penstock.knowledge.loaders import ocr
from penstock.knowledge.loaders.base import RULES, LoadedDocument, ReadRules, TextBuilder, Unloadable
from penstock.knowledge.loaders.pdf_pages import Page, drop_repeated, read_pages
from penstock.knowledge.loaders.pdf_text import PageWriter, mark_headings
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.properties import flat
from penstock.knowledge.values import Status

SHOWN_RUNS = 20
MISSING = {
    "broken": "{pages} broken and could not be read: open it in a PDF program and save it again.",
    "picture": "{pages} not read: there are pictures instead of text. Install Tesseract, which reads them"
    " (`apt-get install tesseract-ocr`, `brew install tesseract`), or run OCR over it.",
    "language": "{pages} not read: Tesseract lacks a language of ocr_languages. Install it ({install}), or leave it"
    " out.",
    "time": "{pages} not read from pictures in the time for one file. Raise parse_seconds, or split it.",
}
"""Why a page can be missing, and what to do."""
DESCRIBED = {
    "Title": "title",
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "CreationDate": "created",
    "ModDate": "modified",
}
DATE = re.compile(r"(?:D:)?(\d{4})(\d{2})?(\d{2})?")


class Outcome(Struct, frozen=True):
    """How reading ended, and what that means."""

    status: Status
    reason: str


def load_pdf(data: bytes, rules: ReadRules = RULES) -> LoadedDocument:
    """Raises `Unloadable` for what is encrypted, not a PDF, broken, or has no text."""
    if b"%PDF-" not in data[:1024]:
        raise Unloadable("corrupt", "It is not a PDF, whatever its name says. Give it its right extension.")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise refusal(error) from None
    try:
        pages = read_pages(document, rules)
        texts = [page.lines for page in pages]
        drop_repeated(texts)
        has_contents = mark_headings(document, texts)
        about = described(document)
    finally:
        document.close()
    builder = TextBuilder()
    writer = PageWriter(builder)
    page_starts = tuple(writer.add(page) for page in pages)
    outcome = outcome_of(pages, rules)
    if not builder.text():
        raise Unloadable(outcome.status, outcome.reason)
    return LoadedDocument(
        text=builder.text(),
        title=str(about.pop("title", "")) or ("" if has_contents else builder.title()),
        blocks=tuple(builder.blocks),
        page_starts=page_starts,
        places=tuple(Place(start, f"page {number}") for number, start in enumerate(page_starts, 1)),
        metadata=about,
        status=outcome.status,
        reason=outcome.reason,
    )


def outcome_of(pages: Sequence[Page], rules: ReadRules) -> Outcome:
    """How the reading of these pages ended: what is missing first, then what came from pictures."""
    missing = {why: [number for number, page in enumerate(pages, 1) if page.missing == why] for why in MISSING}
    pictured = [number for number, page in enumerate(pages, 1) if page.pictured]
    install = ocr.install(rules.languages) if missing["language"] else ""
    reasons = [
        MISSING[why].format(pages=listed(numbers), install=install) for why, numbers in missing.items() if numbers
    ]
    if pictured:
        reasons.append(f"{listed(pictured)} read by Tesseract from pictures; check what matters.")
    read = pictured or any(line.text for page in pages for line in page.lines)
    if not read:
        pictures = missing["picture"] or missing["language"]
        status: Status = "corrupt" if missing["broken"] and not pictures else "no_text"
        empty = "There is no text in it." if not reasons else ""
        return Outcome(status, " ".join([*reasons, empty]).strip())
    if any(missing.values()):
        return Outcome("partial", " ".join(reasons))
    return Outcome("ocr" if pictured else "ok", " ".join(reasons))


def listed(numbers: Sequence[int]) -> str:
    """Page numbers with the verb that follows: `Page 3 was`, `Pages 1, 4–7 were`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:SHOWN_RUNS])
    more = " …" if len(runs) > SHOWN_RUNS else ""
    return f"Page {shown} was" if len(numbers) == 1 else f"Pages {shown}{more} were"


def described(document: pypdfium2.PdfDocument) -> dict[str, Value]:
    """What the document says of itself."""
    found = {}
    for key, name in DESCRIBED.items():
        value = document.get_metadata_value(key).replace("\0", " ")
        found[name] = dated(value) if name in ("created", "modified") else value
    return flat(found)


def dated(value: str) -> str:
    """`D:20260131120000+01'00'` as a date of ISO 8601; "" for what is none."""
    match = DATE.match(value)
    return "-".join(part for part in match.groups() if part) if match else ""


def refusal(error: pypdfium2.PdfiumError) -> Unloadable:
    code = getattr(error, "err_code", None)
    if code == pdfium.FPDF_ERR_PASSWORD:
        return Unloadable("encrypted", "It is protected by a password. Save a copy without one.")
    if code == pdfium.FPDF_ERR_SECURITY:
        return Unloadable("encrypted", "Its kind of encryption cannot be read. Save a copy without protection.")
    return Unloadable("corrupt", "It is broken or only a part of a PDF. Get it again, or print it to a new PDF.")
