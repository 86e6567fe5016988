"""Word documents: paragraphs, headings by their styles, lists and tables, in the order of the page."""

from __future__ import annotations

import io
import re
import zipfile

from docx import Document as open_docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder, Unloadable

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
LARGEST_UNPACKED = 400_000_000
"""Bytes; an archive that unpacks to more is not a document that somebody wrote."""


def load_docx(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not a Word document, or not a whole one."""
    check(data)
    try:
        document = open_docx(io.BytesIO(data))
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:
        raise Unloadable(
            "corrupt", f"It is not a whole Word document ({error}). Open it in Word and save it again."
        ) from None
    builder = TextBuilder()
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            builder.add("table", "\n".join(rows(item)))
        else:
            add_paragraph(builder, item)
    title = " ".join((document.core_properties.title or "").split())
    return LoadedDocument(text=builder.text(), title=title or builder.title(), blocks=tuple(builder.blocks))


def check(data: bytes) -> None:
    """Refuses what is not an archive, or one made to fill the memory."""
    if data.startswith(OLE):
        if ENCRYPTED_PACKAGE in data:
            raise Unloadable("encrypted", "It is protected by a password. Save it without one.")
        raise Unloadable("corrupt", "It is an old Word file (.doc) by another name. Save it as .docx.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise Unloadable(
            "corrupt", "It is not a Word document, or only a part of one. Open it in Word and save it again."
        ) from None
    if unpacked > LARGEST_UNPACKED:
        raise Unloadable(
            "too_large", f"It unpacks to {unpacked / 1e6:,.0f} MB. Save it without its embedded files and pictures."
        )


def add_paragraph(builder: TextBuilder, paragraph: Paragraph) -> None:
    text = paragraph.text
    style = (paragraph.style.name if paragraph.style is not None else "") or ""
    if style == "Title":
        builder.add("heading", " ".join(text.split()), 1)
    elif match := HEADING.match(style):
        builder.add("heading", " ".join(text.split()), min(int(match.group(1)), 6))
    elif text.strip() and (style.startswith("List") or numbered(paragraph)):
        after_item = bool(builder.blocks) and builder.blocks[-1].kind == "paragraph"
        builder.add("paragraph", f"- {text.strip()}", tight=after_item)
    else:
        builder.add("paragraph", text)


def numbered(paragraph: Paragraph) -> bool:
    properties = paragraph._p.pPr
    return properties is not None and properties.numPr is not None


def rows(table: Table) -> list[str]:
    lines = []
    for row in table.rows:
        cells: list[str] = []
        before = None
        for cell in row.cells:
            if cell._tc is not before:  # a merged cell is given once for each column it spans
                cells.append(" ".join(cell.text.split()))
            before = cell._tc
        if any(cells):
            lines.append(" | ".join(cells))
    return lines
