"""Word documents: paragraphs, headings by their styles, lists and tables, in the order of the page."""

from __future__ import annotations

import io
import re
import zipfile

from docx import Document as open_docx
from docx.exceptions import PythonDocxError
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml import etree

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.packages import Format, check_package, core_properties, damaged

WORD = Format("Word document", ".docx", ".doc")
HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def load_docx(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not a Word document, or not a whole one."""
    check_package(data, WORD)
    try:
        document = open_docx(io.BytesIO(data))
    except (zipfile.BadZipFile, PythonDocxError, etree.LxmlError, KeyError, ValueError) as error:
        raise damaged(WORD, error) from None
    builder = TextBuilder()
    styles = {style.style_id: style.name or "" for style in document.styles}  # the library looks each up anew
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            builder.add("table", "\n".join(rows(item)))
        else:
            add_paragraph(builder, item, styles.get(item._p.style, ""))
    about = core_properties(data)
    return LoadedDocument(
        text=builder.text(),
        title=str(about.pop("title", "")) or builder.title(),
        blocks=tuple(builder.blocks),
        metadata=about,
    )


def add_paragraph(builder: TextBuilder, paragraph: Paragraph, style: str) -> None:
    text = paragraph.text
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
