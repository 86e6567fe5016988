"""Rows of tables as text that makes sense row by row: each value under the name of its column.

A row stands alone in a search, so it says its columns' names itself. Rows are blocks of their own with a blank
line between them, which is how their numbers are counted (`places`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from msgspec import Struct

from penstock.knowledge.loaders.base import TextBuilder
from penstock.knowledge.loaders.places import Place

NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d.,:/ %-]*[)%€]?")
LONGEST_NAME = 80
LONG_CELL = 100
"""Characters; a row with a longer cell has a line for each of its cells."""
LOOKAHEAD = 20
"""Rows that are looked at to find the one that names the columns."""


class Row(Struct, frozen=True):
    """A row by its 1-based number in its file, and its cells as text, "" for empty ones."""

    number: int
    cells: tuple[str, ...]


def add_rows(builder: TextBuilder, rows: Iterable[Row], label: str = "") -> list[Place]:
    """Appends a table row by row; returns where its rows stand, under `label` ("sheet Sales")."""
    filled = (row for row in rows if any(row.cells))
    first = list(islice(filled, LOOKAHEAD))
    at = header_of(first)
    named = 0 if at is None else at + 1
    names = first[named - 1].cells if named else ()
    places: list[Place] = []
    expected = 0
    for index, row in enumerate(chain(first, filled)):
        expected = _add(builder, row, names if index >= named else (), label, expected, places)
    return places


def _add(
    builder: TextBuilder, row: Row, names: Sequence[str], label: str, expected: int, places: list[Place]
) -> int:
    """Appends one row, with a place of its own where its number does not follow; returns the number to follow."""
    lines = list(pairs(row.cells, names))
    long = any(len(cell) > LONG_CELL for cell in row.cells)
    start = builder.add(
        "paragraph" if long else "table", (("\n" if long else "; ") if names else " | ").join(lines)
    )
    if row.number != expected:
        places.append(Place(start, label, "row", row.number))
    return row.number + 1


def pairs(cells: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """`name: value` for each cell that is not empty; the value alone where its column has no name."""
    for index, cell in enumerate(cells):
        text = " ".join(cell.split())
        if text:
            name = " ".join(names[index].split()) if index < len(names) else ""
            yield f"{name}: {text}" if name else text


def header_of(rows: Sequence[Row]) -> int | None:
    """The index of the row that names the columns: the first as wide as the table, all short words, none twice.

    What stands above it (a title, a date) is narrower. `None` where no row can be it.
    """
    if not rows:
        return None
    width = max(sum(1 for cell in row.cells if cell) for row in rows)
    if width < 2:
        return None
    for index, row in enumerate(rows):
        names = [cell for cell in row.cells if cell]
        if len(names) * 2 <= width:
            continue
        plain = all(len(name) <= LONGEST_NAME and not NUMBER.fullmatch(name) for name in names)
        return index if plain and len(set(names)) == len(names) else None
    return None
