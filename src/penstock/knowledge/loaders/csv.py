"""CSV and TSV: the delimiter is found, and every row says the names of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.rows import Row, add_rows
from penstock.knowledge.loaders.text import as_text, decode

DELIMITERS = ",;\t|"
TOLD = re.compile(r"sep=(?P<delimiter>[^\n\"])(?:\n|\Z)", re.IGNORECASE)
"""The first line of a file that says its delimiter itself, as Excel has it."""
SAMPLE_LINES = 50
SAMPLE = 64_000
LONGEST_CELL = 200_000
"""Characters; a longer cell is a quotation mark that was never closed."""


def load_csv(data: bytes) -> LoadedDocument:
    """What is not regular is read as plain text, and said to be `partial`. Raises `Unloadable` for binary data."""
    source, reason = decode(data)
    builder = TextBuilder()
    csv.field_size_limit(LONGEST_CELL)
    told = TOLD.match(source)
    delimiter = told["delimiter"] if told else delimiter_of(source)
    reader = csv.reader(io.StringIO(source, newline=""), delimiter=delimiter)
    try:
        if told:
            next(reader)
        places = add_rows(builder, rows(reader, 2 if told else 1))
    except csv.Error as error:
        return as_text(
            source, f"Row {reader.line_num} is no CSV ({error}), so it was read as plain text. Save it again."
        )
    return LoadedDocument(
        text=builder.text(),
        blocks=tuple(builder.blocks),
        places=tuple(places),
        status="partial" if reason else "ok",
        reason=reason,
    )


def rows(reader: Iterator[list[str]], first: int) -> Iterator[Row]:
    for number, cells in enumerate(reader, first):
        yield Row(number, tuple(cell.strip() for cell in cells))


def delimiter_of(source: str) -> str:
    """The character that cuts the most lines of a sample into the same number of cells, two at least."""
    lines = source[:SAMPLE].split("\n")[:SAMPLE_LINES]
    best, most = ",", 0.0
    for delimiter in DELIMITERS:
        widths = Counter(len(cells) for cells in csv.reader(lines, delimiter=delimiter, strict=False) if cells)
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
        share = count + width / 1000 if width > 1 else 0.0
        if share > most:
            best, most = delimiter, share
    return best
