"""One SQLite file in WAL mode."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from penstock.errors import PenstockError, StorageError, StorageFull
from penstock.storage.database import Database


class SqliteDatabase(Database):
    """An open database file.

    `durable` ones sync on every commit; the others may lose the last moments at a power cut, never their
    integrity, and nothing when only the process is killed.
    """

    def __init__(self, path: Path, schema: str, *, durable: bool = True) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._synchronous = "FULL" if durable else "NORMAL"
        engine = create_engine(f"sqlite:///{path}", poolclass=QueuePool, pool_size=8, max_overflow=16)
        event.listen(engine, "connect", self._on_connect)
        # pysqlite would open transactions on its own terms, and not for reads or DDL: we say BEGIN ourselves.
        event.listen(engine, "begin", begin)
        super().__init__(engine, schema, path.name)

    def _on_connect(self, connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={self._synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.close()

    def _lost_transaction(self, connection: Connection, error: Exception) -> bool:
        """SQLite rolls everything back itself when the disk is full."""
        return not connection.connection.dbapi_connection.in_transaction  # type: ignore[union-attr]

    def explain(self, error: DBAPIError) -> PenstockError:
        reason = str(error.orig)
        if isinstance(error, OperationalError) and "full" in reason:
            return StorageFull(f"The disk is full: {self.path} cannot grow.", hint="Free some space and try again.")
        if "disk I/O error" in reason:
            return StorageFull(
                f"The disk refused a write to {self.path} ({reason}).",
                hint="It may be full or failing: check `df` and `dmesg`.",
            )
        return StorageError(f"{self.path.name}: {reason}")


def begin(connection: Connection) -> None:
    """A writer takes the file's lock at once: one that has read first could not get it after another process."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
