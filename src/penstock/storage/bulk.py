"""Many rows in few statements, for a writer that works beside a busy event loop.

Each step of a SQLite statement gives Python's lock away and waits to get it back, up to 5 ms behind a loop that
does not sleep. `executemany` takes a step for each row: 1,600 rows/s were measured beside such a loop. One
`INSERT … VALUES (…), (…), …` of 256 rows takes one step and wrote 100,000 rows/s.

A statement is small, 0.1 to 0.3 ms of work, and a pause follows it: where the cores are all busy, the system lets
whatever else runs there wait as long as the writer goes on, be it a provider or a client beside it.

Python's SQLite driver takes integers, floats, `str` and `bytearray` as they are (20 to 70 ns a value). For anything
else it first looks for an adapter: a `None` or `bytes` costs half a microsecond under the lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import nan
from typing import Any

from sqlalchemy import Connection

MOST_ROWS = 256
MOST_VALUES = 1_024
"""Values of one statement: Python's lock is held while they are handed over."""
PAUSE_SECONDS = 50e-6
NULL = nan
"""SQLite stores a float that is no number as a null."""

Row = tuple[Any, ...]


class BulkInsert:
    """Inserts tuples, in the order of `columns`, into one table; the first value of each row must not be null.

    `ignore_known` leaves rows out whose key is there already. PostgreSQL takes the rows by COPY, which knows no
    such thing: there, load a temporary table and insert from it. Binary values are best given as `bytearray`.
    """

    def __init__(self, table: str, columns: Sequence[str], *, ignore_known: bool = False) -> None:
        self._table = table
        self._columns = ", ".join(f'"{name}"' for name in columns)
        self._width = len(columns)
        self._ending = " ON CONFLICT DO NOTHING" if ignore_known else ""
        self._most = 1 << (min(MOST_ROWS, MOST_VALUES // self._width).bit_length() - 1)
        self._statements: dict[int, str] = {}

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        if connection.dialect.name == "postgresql":
            self._copy(connection, rows)
            return
        start = 0
        for size in sizes(len(rows), self._most):
            part = rows[start : start + size]
            values = [NULL if value is None else value for row in part for value in row]
            values += [NULL] * (size * self._width - len(values))
            connection.exec_driver_sql(self._statement(size), tuple(values))
            time.sleep(PAUSE_SECONDS)
            start += size

    def _statement(self, size: int) -> str:
        """Rows that only fill up have a null for their first value and are left out."""
        found = self._statements.get(size)
        if found is None:
            row = "(" + ",".join("?" * self._width) + ")"
            rows = ",".join([row] * size)
            found = self._statements[size] = (
                f"INSERT INTO {self._table} ({self._columns}) "  # noqa: S608 — names come from the code
                f"SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL{self._ending}"
            )
        return found

    def _copy(self, connection: Connection, rows: Sequence[Row]) -> None:
        assert not self._ending, "COPY cannot leave out rows that are there already"
        cursor: Any = connection.connection.cursor()
        with cursor.copy(f"COPY {self._table} ({self._columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def sizes(rows: int, most: int) -> Iterator[int]:
    """Powers of two that hold so many rows with few statements, few shapes of them, and little room left over."""
    while rows > 0:
        size = min(most, 1 << (rows - 1).bit_length())
        if size - rows > size // 4:
            size //= 2
        yield size
        rows -= size
