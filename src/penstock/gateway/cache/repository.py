"""The SQL of `cache.db`.

Writes run on the database's writer thread. Reads have a connection of their own, for the event loop: a look-up by
primary key takes about ten microseconds, less than handing it to a thread would.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Connection

OVERHEAD = 200
"""Bytes that a row takes beside its data, its two index entries among them."""


class EntryRow(Struct, frozen=True):
    key: bytes
    data: bytes
    used_us: int
    until_us: int

    @property
    def size(self) -> int:
        return len(self.data) + OVERHEAD


class QuestionRow(Struct, frozen=True):
    """A question that an entry answers. `context` is a digest of what stood around it."""

    key: bytes
    context: bytes
    text: str


class CacheReader:
    """Reads without a transaction, so every statement sees what was committed last."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        self._connection.execute("PRAGMA query_only=ON")

    def find(self, key: bytes) -> tuple[bytes, int] | None:
        """The data and until when it may be given. `None` also where the file cannot be read."""
        try:
            found: tuple[bytes, int] | None = self._connection.execute(
                "SELECT data, until_us FROM entry WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error:
            return None
        return found

    def totals(self) -> tuple[int, int] | None:
        """Entries and bytes."""
        try:
            found: tuple[int, int] = self._connection.execute("SELECT entries, bytes FROM total").fetchone()
        except sqlite3.Error:
            return None
        return found

    def close(self) -> None:
        self._connection.close()


def put(connection: Connection, row: EntryRow, used: list[tuple[int, bytes]], max_bytes: int) -> int:
    """Writes an entry and makes room for it; how many were evicted. `used` says when others were: (time, key)."""
    if used:
        connection.exec_driver_sql("UPDATE entry SET used_us = ? WHERE key = ?", used)
    connection.exec_driver_sql(
        "INSERT INTO entry (key, size, used_us, until_us, data) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET size = excluded.size, used_us = excluded.used_us, "
        "until_us = excluded.until_us, data = excluded.data",
        (row.key, row.size, row.used_us, row.until_us, row.data),
    )
    connection.exec_driver_sql("DELETE FROM question WHERE key = ?", (row.key,))
    if total(connection) <= max_bytes:
        return 0
    delete_expired(connection, row.used_us)
    return evict(connection, total(connection) - max_bytes, row.key)


def total(connection: Connection) -> int:
    """The bytes of all entries."""
    found: int = connection.exec_driver_sql("SELECT bytes FROM total").scalar_one()
    return found


def evict(connection: Connection, excess: int, written: bytes) -> int:
    """Deletes the entries used longest ago until `excess` bytes are free, but never `written`; how many."""
    gone = []
    for key, size in connection.exec_driver_sql(
        "SELECT key, size FROM entry WHERE key <> ? ORDER BY used_us", (written,)
    ):
        if excess <= 0:
            break
        gone.append((key,))
        excess -= size
    if gone:
        connection.exec_driver_sql("DELETE FROM entry WHERE key = ?", gone)
    return len(gone)


def delete(connection: Connection, key: bytes) -> None:
    connection.exec_driver_sql("DELETE FROM entry WHERE key = ?", (key,))


def delete_expired(connection: Connection, now_us: int) -> None:
    connection.exec_driver_sql("DELETE FROM entry WHERE until_us <= ?", (now_us,))


def clear(connection: Connection, start: bytes) -> None:
    """Deletes the entries whose keys begin with `start`."""
    connection.exec_driver_sql("DELETE FROM entry WHERE substr(key, 1, ?) = ?", (len(start), start))


def put_question(connection: Connection, row: QuestionRow) -> None:
    """Keeps a question with its entry; one whose entry is gone is not kept."""
    connection.exec_driver_sql(
        "INSERT OR REPLACE INTO question (key, context, text) "
        "SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM entry WHERE key = ?)",
        (row.key, row.context, row.text, row.key),
    )


def questions(connection: Connection, limit: int) -> list[QuestionRow]:
    """The questions whose entries were used last, the oldest of them first."""
    rows = connection.exec_driver_sql(
        "SELECT q.key, q.context, q.text FROM question q JOIN entry e ON e.key = q.key "
        "ORDER BY e.used_us DESC LIMIT ?",
        (limit,),
    )
    return [QuestionRow(*row) for row in rows][::-1]
