"""Word documents: paragraphs, headings by their styles, lists and tables, in the order of the page.

The text is that of the final view: what tracked changes insert is in it, what they delete is not. Footnotes and
endnotes stand behind the paragraph that refers to them. The XML is read as it is, since the library that opens the
file leaves out tracked insertions, content controls, text boxes and notes.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from docx import Document as open_docx
from docx.exceptions import PythonDocxError
from lxml import etree

from penstock.knowledge.chunking import BlockKind
from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.packages import Format, check_package, core_properties, damaged
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.word_xml import (
    CONTENT,
    NOTE,
    PARAGRAPH,
    TABLE,
    NoteReference,
    Words,
    named,
    table_rows,
    within,
)

WORD = Format("Word document", ".docx", ".doc")
HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
CONTENTS = re.compile(r"toc\b", re.IGNORECASE)
"""The styles of a table of contents, which says again what the headings say."""
DAMAGE = (zipfile.BadZipFile, PythonDocxError, etree.LxmlError, KeyError, ValueError)


def load_docx(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not a Word document, or not a whole one."""
    check_package(data, WORD)
    try:
        document = open_docx(io.BytesIO(data))
        styles = {style.style_id: style.name or "" for style in document.styles}
        reading = Reading(styles, notes_of(document))
        reading.read(document.element.body)
    except DAMAGE as error:
        raise damaged(WORD, error) from None
    about = core_properties(data)
    builder = reading.builder
    return LoadedDocument(
        text=builder.text(),
        title=str(about.pop("title", "")) or builder.title(),
        blocks=tuple(builder.blocks),
        places=tuple(reading.places),
        metadata=about,
    )


def notes_of(document: Any) -> dict[tuple[str, str], Any]:
    """The footnotes and endnotes of a document, by what they are called there and their ids."""
    found = {}
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2].removesuffix("s")
        if kind in NOTE.values() and not relation.is_external:
            tree = etree.fromstring(relation.target_part.blob, etree.XMLParser(resolve_entities=False))
            found.update({(kind, note.get(named("id"))): note for note in tree})
    return found


class Reading:
    """A Word document on its way to a text. `places` say where notes stand."""

    def __init__(self, styles: dict[str, str], notes: dict[tuple[str, str], Any]) -> None:
        self.builder = TextBuilder()
        self.places: list[Place] = []
        self._styles = styles
        self._notes = notes
        self._numbers = dict.fromkeys(NOTE.values(), 0)
        self._label = ""

    def read(self, parent: Any) -> None:
        """What a body or a text box holds."""
        for item in within(parent, (PARAGRAPH, TABLE), CONTENT):
            words = Words(self._numbers)
            if item.tag == TABLE:
                self._add("table", "\n".join(table_rows(item, words)))
            else:
                self._paragraph(item, words)
            for note in words.notes:
                self._note(note)
            for box in words.boxes:
                self.read(box)

    def _paragraph(self, paragraph: Any, words: Words) -> None:
        style = self._styles.get(paragraph.style, "")
        heading = HEADING.match(style)
        if CONTENTS.match(style):
            return
        text = words.of(paragraph, marks=style != "Title" and heading is None)
        if style == "Title":
            self._add("heading", " ".join(text.split()), 1)
        elif heading:
            self._add("heading", " ".join(text.split()), min(int(heading.group(1)), 6))
        elif text.strip() and (style.startswith("List") or numbered(paragraph)):
            blocks = self.builder.blocks
            self._add("paragraph", f"- {text.strip()}", tight=bool(blocks) and blocks[-1].kind == "paragraph")
        else:
            self._add("paragraph", text)

    def _note(self, reference: NoteReference) -> None:
        note = self._notes.get((reference.kind, reference.id))
        text = " ".join(Words({}).of(note, marks=False).split()) if note is not None else ""
        if text:
            self._add("paragraph", f"{reference.mark} {text}", label=reference.label)

    def _add(self, kind: BlockKind, text: str, level: int = 0, *, tight: bool = False, label: str = "") -> None:
        if not text.strip():
            return
        at = self.builder.add(kind, text, level, tight=tight)
        if label != self._label:
            if not self.places:
                self.places.append(Place(0, ""))
            self.places.append(Place(at, label))
            self._label = label


def numbered(paragraph: Any) -> bool:
    properties = paragraph.pPr
    return properties is not None and properties.numPr is not None
