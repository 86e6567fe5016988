"""The words in a part of a Word document's XML, as its final view shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from msgspec import Struct

MAIN = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def named(name: str) -> str:
    """A name of WordprocessingML as the parser writes it."""
    return MAIN + name


PARAGRAPH, TABLE, ROW, CELL, TEXT, BREAK = map(named, ("p", "tbl", "tr", "tc", "t", "br"))
BOX = named("txbxContent")
CONTENT = frozenset(map(named, ("sdt", "sdtContent", "customXml", "ins", "moveTo")))
"""What stands around paragraphs, rows and cells without being seen."""
LEFT_OUT = frozenset(
    (
        *map(named, ("del", "moveFrom", "pPr", "rPr", "sdtPr", "rt")),
        "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",  # says again what `Choice` says
    )
)
SIGNS = {named("tab"): "\t", named("ptab"): "\t", named("cr"): "\n", named("noBreakHyphen"): "-"}
NOTE = {named("footnoteReference"): "footnote", named("endnoteReference"): "endnote"}


class NoteReference(Struct, frozen=True):
    """A place in a text that a note belongs to; `label` is where the note stands, `mark` what refers to it."""

    kind: str
    id: str
    label: str
    mark: str


class Words:
    """Collects the words of elements, and the `notes` and text `boxes` that were met on the way. `numbers` count
    the notes of each kind through the document."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self.notes: list[NoteReference] = []
        self.boxes: list[Any] = []
        self._numbers = numbers
        self._parts: list[str] = []

    def of(self, element: Any, *, marks: bool) -> str:
        """The text of an element, paragraphs on lines of their own; with `marks` where it refers to notes."""
        self._parts = []
        self._read(element, marks)
        return "".join(self._parts).removesuffix("\n")

    def _read(self, element: Any, marks: bool) -> None:
        for child in element:
            tag = child.tag
            if tag == TEXT:
                self._parts.append(child.text or "")
            elif tag in LEFT_OUT:
                continue
            elif tag in SIGNS:
                self._parts.append(SIGNS[tag])
            elif tag == BREAK:
                self._parts.append("\n" if child.get(named("type")) in (None, "textWrapping") else "")
            elif tag == BOX:
                self.boxes.append(child)
            elif tag in NOTE:
                self._refer(NOTE[tag], child.get(named("id")), marks)
            else:
                self._read(child, marks)
                if tag == PARAGRAPH:
                    self._parts.append("\n")

    def _refer(self, kind: str, id: str, marks: bool) -> None:
        if kind not in self._numbers:
            return  # a note within a note
        self._numbers[kind] += 1
        number = self._numbers[kind]
        mark = f"[{number}]" if kind == "footnote" else f"[endnote {number}]"
        self.notes.append(NoteReference(kind, id, f"{kind} {number}", mark))
        if marks:
            self._parts.append(mark)


def within(parent: Any, tags: Collection[str], through: Collection[str]) -> Iterator[Any]:
    """The children with these tags, also inside of elements with the tags `through`."""
    for child in parent:
        if child.tag in tags:
            yield child
        elif child.tag in through:
            yield from within(child, tags, through)


def table_rows(table: Any, words: Words) -> list[str]:
    """The rows of a table that are not deleted; a cell that spans several rows is said in each."""
    lines = []
    above: dict[int, str] = {}
    for row in within(table, (ROW,), CONTENT):
        if row.find(f"{named('trPr')}/{named('del')}") is not None:
            continue
        at, cells = 0, []
        for cell in within(row, (CELL,), CONTENT):
            merge = cell.find(f"{named('tcPr')}/{named('vMerge')}")
            if merge is None or merge.get(named("val")) == "restart":
                above[at] = " ".join(words.of(cell, marks=True).split())
            cells.append(above.get(at, ""))
            span = cell.find(f"{named('tcPr')}/{named('gridSpan')}")
            at += int(span.get(named("val"))) if span is not None else 1
        if any(cells):
            lines.append(" | ".join(cells))
    return lines
