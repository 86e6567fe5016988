"""The SQL of the ledger. Functions of a connection; the caller decides the transaction and the thread.

A batch of calls goes into a temporary table first, in one statement; the rest is set to set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from penstock.access.ledger.fingerprint import NONE, Fingerprint
from penstock.access.ledger.tables import (
    BEGINNING,
    CALL_COLUMNS,
    DAY_US,
    DIMENSION_COLUMNS,
    FINGERPRINTS,
    HOUR_US,
    SLOT_BITS,
    SLOTS,
    SUMS,
)
from penstock.storage.bulk import BulkInsert

Row = tuple[Any, ...]
Call = tuple[Row, Row]
"""A call's beginning and its outcome, in the order of `BEGINNING` and `OUTCOME`."""

# The statements are made of column names from `tables`, never of values.
# ruff: noqa: S608

INCOMING_NAMES = {"call": "incoming", "dimension": "incoming_dimension"}
INCOMING = BulkInsert("incoming", CALL_COLUMNS)
INCOMING_DIMENSION = BulkInsert("incoming_dimension", DIMENSION_COLUMNS)


def listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


CALLS = listed(CALL_COLUMNS)
BEGUN = [f'"{name}"' for name in BEGINNING[1:]]
OVERWRITTEN = ", ".join(
    f'"{name}" = coalesce(excluded."{name}", call."{name}")'
    if name in FINGERPRINTS
    else f'"{name}" = excluded."{name}"'
    for name in CALL_COLUMNS[1:]
)
PUT_CALLS = (
    f"INSERT INTO call ({CALLS}) SELECT {CALLS} FROM incoming WHERE true "
    f"ON CONFLICT (id) DO UPDATE SET {OVERWRITTEN} WHERE excluded.status <> 'reserved'"
)
"""The end of a call replaces its beginning, in whatever order and however often the two arrive."""

DIMENSIONS = listed(DIMENSION_COLUMNS)
PUT_DIMENSIONS = (
    f"INSERT INTO dimension ({DIMENSIONS}) SELECT DISTINCT {DIMENSIONS} FROM incoming_dimension WHERE true "
    "ON CONFLICT DO NOTHING"
)

SUM_NAMES = listed(SUMS)
MADE = ", ".join(SUMS.values())


class Sums(Struct, frozen=True):
    """A table of sums: over all calls that have `keys` in common, of which the first is a time of `unit`."""

    table: str
    unit: int
    keys: tuple[str, ...]
    condition: str = ""

    def of(self, source: str) -> str:
        """Adds the calls in `source` (a table and a condition), in an order in which two processes cannot block
        each other."""
        keys = [f"started_us / {self.unit}", *self.keys[1:]]
        return (
            f"INSERT INTO {self.table} ({', '.join(self.keys)}, {SUM_NAMES}) "
            f"SELECT {', '.join(keys)}, {MADE} FROM {source}{self.condition} "
            f"GROUP BY {', '.join(keys)} ORDER BY {', '.join(str(at + 1) for at in range(len(keys)))}"
        )

    @property
    def adds(self) -> str:
        """Adds what has come in."""
        grown = ", ".join(f'"{name}" = {self.table}."{name}" + excluded."{name}"' for name in SUMS)
        return f"{self.of(OVER)} ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {grown}"


OVER = "incoming WHERE status <> 'reserved'"
TABLES = (
    Sums("hourly", HOUR_US, ("hour", "dimension_id")),
    Sums("daily", DAY_US, ("day", "dimension_id")),
    Sums("daily_user", DAY_US, ("day", "dimension_id", '"user"'), ' AND "user" IS NOT NULL'),
)
ADDING = tuple(table.adds for table in TABLES)

KNOWN = "EXISTS (SELECT 1 FROM call WHERE call.id = incoming.id AND call.status"
FORGET_KNOWN = f"DELETE FROM incoming WHERE {KNOWN} NOT IN ('reserved', 'reconciled'))"
COMPLETE = (
    f"UPDATE incoming SET {', '.join(f'{name} = call.{name}' for name in BEGUN)} "
    "FROM call WHERE call.id = incoming.id AND incoming.trace_id = ''"
)
"""Of a call whose end alone is known here, the beginning is in the database."""
LATE = f"SELECT DISTINCT started_us / {DAY_US} FROM {OVER} AND {KNOWN} = 'reconciled')"


def put(
    connection: Connection,
    calls: Iterable[Call],
    dimensions: Sequence[Row],
    marks: Mapping[int, Fingerprint],
    *,
    first: bool,
) -> None:
    """Writes calls, begun or over, and adds those that are over to the sums; `marks` are fingerprints by id.

    `first` says that the end of none of them can have been written before. Where that is not certain, those that
    are known are left out, and where one was taken for lost, the sums of its day are made anew.
    """
    stage(connection, [begun + came + marks.get(begun[0], NONE) for begun, came in calls], dimensions)
    late: list[int] = []
    if not first:
        connection.exec_driver_sql(FORGET_KNOWN)
        connection.exec_driver_sql(COMPLETE)
        late = list(connection.exec_driver_sql(LATE).scalars())
    add(connection)
    if late:
        rebuild(connection, late)
    connection.exec_driver_sql("DELETE FROM incoming")


def add(connection: Connection) -> None:
    """From the temporary table to the calls and the sums."""
    connection.exec_driver_sql(PUT_CALLS)
    for statement in ADDING:
        connection.exec_driver_sql(statement)


def stage(connection: Connection, calls: Sequence[Row], dimensions: Sequence[Row]) -> None:
    """Fills the temporary table with calls, and adds what they have in common."""
    temporary(connection, "call")
    INCOMING(connection, calls)
    if dimensions:
        temporary(connection, "dimension")
        INCOMING_DIMENSION(connection, dimensions)
        connection.exec_driver_sql(PUT_DIMENSIONS)
        connection.exec_driver_sql("DELETE FROM incoming_dimension")


def temporary(connection: Connection, table: str) -> None:
    """A table like `table` that only this connection sees."""
    name = INCOMING_NAMES[table]
    if connection.dialect.name == "sqlite":
        made = f"{name} AS SELECT * FROM {table} WHERE false"
    else:
        made = f"{name} (LIKE {table}) ON COMMIT DELETE ROWS"
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {made}")


def rebuild(connection: Connection, days: Iterable[int]) -> None:
    """Makes the sums of whole days from their calls."""
    if connection.dialect.name == "postgresql":
        # What others have in hand is added after this; what they have committed is seen by it.
        names = ", ".join(each.table for each in TABLES)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
    for day in sorted(days):
        start, end = day * DAY_US, (day + 1) * DAY_US
        source = f"call WHERE id >= {start << SLOT_BITS} AND id < {end << SLOT_BITS} AND status <> 'reserved'"
        for each in TABLES:
            first, last = start // each.unit, end // each.unit
            time = each.keys[0]
            connection.exec_driver_sql(f"DELETE FROM {each.table} WHERE {time} >= {first} AND {time} < {last}")
            connection.exec_driver_sql(each.of(source))


def open_slots(connection: Connection) -> list[int]:
    """The slots of the processes that have open calls."""
    found = connection.exec_driver_sql(f"SELECT DISTINCT id & {SLOTS - 1} FROM call WHERE status = 'reserved'")
    return sorted(found.scalars())


def reconcile(connection: Connection, slots: Sequence[int]) -> int:
    """Ends the open calls of processes that are gone; returns how many. What they cost stays unknown."""
    if not slots:
        return 0
    numbers = ", ".join(str(slot) for slot in slots)
    values = ", ".join("'reconciled'" if name == "status" else f'"{name}"' for name in CALL_COLUMNS)
    temporary(connection, "call")
    connection.exec_driver_sql(
        f"INSERT INTO incoming ({CALLS}) SELECT {values} FROM call "
        f"WHERE status = 'reserved' AND (id & {SLOTS - 1}) IN ({numbers})"
    )
    count = connection.exec_driver_sql("SELECT count(*) FROM incoming").scalar_one()
    add(connection)
    connection.exec_driver_sql("DELETE FROM incoming")
    return int(count)


def last_started_us(connection: Connection) -> int:
    """The start of the newest call, 0 for none: ids go on from there, though a clock was set back."""
    last = connection.exec_driver_sql("SELECT max(id) FROM call").scalar()
    return 0 if last is None else last >> SLOT_BITS
