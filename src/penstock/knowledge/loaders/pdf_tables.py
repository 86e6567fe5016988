"""Tables in the lines of a page: lines with wide gaps whose parts stand in the same columns.

A PDF has no tables, only words at places. A row is one line, or several where the text of its cells goes on below:
then a cell's lines follow each other, and the next cell begins higher up the page.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from penstock.knowledge.loaders.pdf_lines import Cell, Line

FEWEST_ROWS = 2
LONGEST_CELL = 80
"""Characters; parts that are longer than this on average are columns of text, not of a table."""
NEXT_LINE = 1.45
"""A line at most so many heights below the one before goes on with its cell; rows are further apart."""
RISE = 0.5
"""A line that begins more heights above the end of the one before stands beside it."""

Columns = list[tuple[float, float]]


class Table(Struct, frozen=True):
    """A table in the lines up to `end`, its rows as cells by column."""

    rows: tuple[tuple[str, ...], ...]
    end: int


def table_at(lines: Sequence[Line], first: int) -> Table | None:
    """The table that begins with line `first`, if there is one."""
    if len(lines[first].cells) < 2 or lines[first].level:
        return None
    columns = columns_of([lines[first].cells])
    several = [lines[first].cells]
    end = anchored = first + 1
    while end < len(lines):
        line, before = lines[end], lines[end - 1]
        if line.level or not line.cells:
            break
        if len(line.cells) > 1:
            merged = columns_of([*several, line.cells])
            if not apart([*several, line.cells], merged):
                break
            columns, anchored = merged, end + 1
            several.append(line.cells)
        elif not fits(line.cells[0], columns):
            break
        elif beside(before, line) or (anchored == end and goes_on(before, line)):
            anchored = end + 1
        end += 1
    rows = rows_of(lines[first:anchored], columns)
    widths = [len(cell) for row in rows for cell in row if cell]
    if len(several) < FEWEST_ROWS or len(rows) < FEWEST_ROWS or sum(widths) > LONGEST_CELL * len(widths):
        return None
    return Table(tuple(rows), anchored)


def rows_of(lines: Sequence[Line], columns: Columns) -> list[tuple[str, ...]]:
    rows: list[list[str]] = []
    before: Line | None = None
    for line in lines:
        single = len(line.cells) == 1
        same_row = before is not None and (beside(before, line) or (single and goes_on(before, line)))
        if not rows or not same_row:
            rows.append(["" for _ in columns])
        for cell in line.cells:
            at = column_of(cell, columns)
            rows[-1][at] = f"{rows[-1][at]} {cell.text}".strip()
        before = line
    return [tuple(row) for row in rows]


def beside(before: Line, line: Line) -> bool:
    """Whether a line stands no lower than the one before, or higher, so that it is another cell of the same row."""
    return line.bottom - before.bottom > RISE * line.height or (
        abs(line.bottom - before.bottom) <= RISE * line.height and line.cells[0].left >= before.cells[-1].right
    )


def goes_on(before: Line, line: Line) -> bool:
    """Whether a line is so close below the one before that it goes on with the text of its cell."""
    drop = before.bottom - line.bottom
    return 0 < drop <= NEXT_LINE * line.height and any(
        cell.left < line.cells[0].right and line.cells[0].left < cell.right for cell in before.cells
    )


def columns_of(lines: Sequence[Sequence[Cell]]) -> Columns:
    """Where the columns of these lines are: what overlaps is one column, and what stands next to each other in no
    line, such as a name in the middle over values at the left."""
    found: Columns = []
    for left, right in sorted((cell.left, cell.right) for cells in lines for cell in cells):
        if found and left < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    joined = found[:1]
    for column in found[1:]:
        both = (joined[-1][0], column[1])
        if any(sum(1 for cell in cells if overlap(cell, both) > 0) > 1 for cells in lines):
            joined.append(column)
        else:
            joined[-1] = both
    return joined


def apart(lines: Sequence[Sequence[Cell]], columns: Columns) -> bool:
    """Whether the parts of every line stand in columns of their own."""
    return all(len({column_of(cell, columns) for cell in cells}) == len(cells) for cells in lines)


def fits(cell: Cell, columns: Columns) -> bool:
    """Whether a line stands within one column."""
    return sum(1 for column in columns if overlap(cell, column) > 0) == 1


def column_of(cell: Cell, columns: Columns) -> int:
    """The column that a cell overlaps most."""
    return max(range(len(columns)), key=lambda at: overlap(cell, columns[at]))


def overlap(cell: Cell, column: tuple[float, float]) -> float:
    """The width that both share; below zero, how far they are apart."""
    return min(cell.right, column[1]) - max(cell.left, column[0])
