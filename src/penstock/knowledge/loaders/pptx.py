"""PowerPoint: each slide under its title, its text and tables in their order, then its notes.

Slides that are hidden are left out, as they are when the file is shown.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from lxml import etree
from pptx import Presentation
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PythonPptxError

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.packages import Format, check_package, core_properties, damaged
from penstock.knowledge.loaders.places import Place

POWERPOINT = Format("PowerPoint presentation", ".pptx", ".ppt")
FURNITURE = (PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER)
DAMAGE = (zipfile.BadZipFile, etree.LxmlError, PythonPptxError, KeyError, ValueError, AttributeError, IndexError)


def load_pptx(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not a PowerPoint file, or not a whole one."""
    check_package(data, POWERPOINT)
    builder = TextBuilder()
    places: list[Place] = []
    try:
        deck = Presentation(io.BytesIO(data))
        for number, slide in enumerate(deck.slides, 1):
            if slide._element.get("show") not in ("0", "false"):
                places.append(Place(builder.length, f"slide {number}"))
                add_slide(builder, slide)
    except DAMAGE as error:
        raise damaged(POWERPOINT, error) from None
    about = core_properties(data)
    title = str(about.pop("title", ""))
    return LoadedDocument(
        text=builder.text(),
        title=builder.title() if title in ("", "PowerPoint Presentation") else title,
        blocks=tuple(builder.blocks),
        places=tuple(places),
        metadata=about,
    )


def add_slide(builder: TextBuilder, slide: Any) -> None:
    title = slide.shapes.title
    if title is not None:
        builder.add("heading", " ".join(title.text_frame.text.split()), 1)
    for shape in shapes(slide.shapes):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if getattr(shape, "has_table", False) and shape.has_table:
            builder.add("table", "\n".join(rows(shape.table)))
        elif shape.has_text_frame and not is_furniture(shape):
            add_text(builder, shape.text_frame)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None and notes.text.strip():
        builder.add("paragraph", f"Notes: {notes.text.strip()}")


def shapes(found: Any) -> Iterator[Any]:
    """The shapes of a slide, those in groups in the place of their group."""
    stack = list(reversed(list(found)))
    while stack:
        shape = stack.pop()
        if hasattr(shape, "shapes"):
            stack.extend(reversed(list(shape.shapes)))
        else:
            yield shape


def is_furniture(shape: Any) -> bool:
    """Dates, footers and slide numbers, which stand on every slide."""
    return bool(shape.is_placeholder) and shape.placeholder_format.type in FURNITURE


def add_text(builder: TextBuilder, frame: Any) -> None:
    """The paragraphs of a shape on adjacent lines, as they stand on the slide."""
    first = True
    for paragraph in frame.paragraphs:
        text = " ".join(paragraph.text.split())
        if text:
            builder.add("paragraph", text if first and len(frame.paragraphs) == 1 else f"- {text}", tight=not first)
            first = False


def rows(table: Any) -> list[str]:
    lines = []
    for row in table.rows:
        cells = [" ".join(cell.text_frame.text.split()) for cell in row.cells if not cell.is_spanned]
        if any(cells):
            lines.append(" | ".join(cells))
    return lines
