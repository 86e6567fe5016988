"""Excel workbooks: each sheet a section, each row with the names of its columns, formulas by their last values.

Sheets that are hidden are left out, as they are for everybody who opens the file.
"""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.packages import Format, check_package, core_properties, damaged
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.rows import Row, add_rows

EXCEL = Format("Excel workbook", ".xlsx", ".xls")
UNCALCULATED = re.compile(rb"</f>\s*(?:<v\s*/>|<v></v>)?\s*</c>")
PIECE = 1 << 20
DAMAGE = (zipfile.BadZipFile, ParseError, KeyError, ValueError, IndexError, TypeError, AttributeError, OSError)


def load_xlsx(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not an Excel workbook, or not a whole one."""
    check_package(data, EXCEL)
    builder = TextBuilder()
    places: list[Place] = []
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible":
                sheet.reset_dimensions()  # what a file says of its size may be a million empty rows
                add_sheet(builder, places, sheet.title, rows(sheet.iter_rows(values_only=True)))
    except DAMAGE as error:
        raise damaged(EXCEL, error) from None
    missing = uncalculated(data)
    about = core_properties(data)
    return LoadedDocument(
        text=builder.text(),
        title=str(about.pop("title", "")),
        blocks=tuple(builder.blocks),
        places=tuple(places),
        metadata=about,
        status="partial" if missing else "ok",
        reason=f"{missing} formulas have no value. Open it in Excel and save it, so that they are calculated."
        if missing
        else "",
    )


def add_sheet(builder: TextBuilder, places: list[Place], title: str, found: Iterator[Row]) -> None:
    """Appends a sheet under its name, nothing for an empty one."""
    label = f"sheet {title}"
    first = next((row for row in found if any(row.cells)), None)
    if first is None:
        return
    places.append(Place(builder.length, label))
    builder.add("heading", title, 1)
    places.extend(add_rows(builder, (row for rows in ([first], found) for row in rows), label))


def rows(values: Iterator[tuple[Any, ...]]) -> Iterator[Row]:
    for number, cells in enumerate(values, 1):
        yield Row(number, tuple(shown(cell) for cell in cells))


def shown(value: Any) -> str:
    """A cell as text: dates without a time of midnight, numbers without the noise of their last digits."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return f"{value:.12g}"
        case datetime.datetime():
            day = value.time() == datetime.time()
            return value.date().isoformat() if day else value.isoformat(" ", "minutes")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value).strip()


def uncalculated(data: bytes) -> int:
    """How many formulas stand without a value, as programs leave them that write workbooks and do not calculate."""
    count = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            if not entry.filename.startswith("xl/worksheets/sheet"):
                continue
            with archive.open(entry) as file:
                rest = b""
                while piece := file.read(PIECE):
                    window = rest + piece
                    ends = [match.end() for match in UNCALCULATED.finditer(window)]
                    count += len(ends)
                    rest = window[max(ends[-1] if ends else 0, len(window) - 64) :]
    return count
