"""One SQLite file in WAL mode: readers run freely, every write goes through one group-committing thread.

A write is a function that gets a connection inside a transaction. The writer thread takes all that wait,
runs each in its own savepoint, and commits them together: one sync of the disk for many callers, and a write
that fails costs only its own caller.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from penstock.errors import PenstockError, StorageError, StorageFull
from penstock.storage.migrate import upgrade

T = TypeVar("T")
Write = Callable[[Connection], T]

MAX_GROUP = 256
MAX_WAITING = 20_000


class Database:
    """An open database file.

    `schema` names the folder of its migrations (`storage/migrations/SCHEMA`), which are run when it opens.
    `durable` databases sync on every commit; the others may lose the last moments at a power cut, never their
    integrity.
    """

    def __init__(self, path: Path, schema: str, *, durable: bool = True) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._synchronous = "FULL" if durable else "NORMAL"
        self._engine = create_engine(f"sqlite:///{path}", poolclass=QueuePool, pool_size=8, max_overflow=16)
        event.listen(self._engine, "connect", self._on_connect)
        # pysqlite would open transactions on its own terms, and not for reads or DDL: we say BEGIN ourselves.
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        try:
            upgrade(self._engine, schema)
        except DBAPIError as error:
            raise storage_error(error, path) from error
        self._jobs: queue.Queue[tuple[Write[Any], Future[Any]] | None] = queue.Queue(MAX_WAITING)
        self._closed = False
        self._writer = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._writer.start()

    def _on_connect(self, connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={self._synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state. Call it off the event loop when the query is slow."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise storage_error(error, self.path) from error

    def submit(self, work: Write[T]) -> Future[T]:
        """Queues a write and returns at once; the future is done when the write is on disk.

        Raises `StorageError` when the database is closed or `MAX_WAITING` writes wait.
        """
        future: Future[T] = Future()
        if self._closed:
            raise StorageError(f"{self.path.name} is closed.")
        try:
            self._jobs.put_nowait((work, future))
        except queue.Full:
            raise StorageError(
                f"{self.path.name} has {MAX_WAITING} writes waiting.", hint="The disk is too slow for this load."
            ) from None
        return future

    async def write(self, work: Write[T]) -> T:
        """Runs a write and waits for the commit. Raises `StorageFull` or `StorageError`."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Commits what waits and closes the file."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._engine.dispose()

    def _run(self) -> None:
        connection = self._engine.connect()
        closing = False
        while not closing:
            group: list[tuple[Write[Any], Future[Any]]] = []
            job = self._jobs.get()
            while True:
                if job is None:
                    closing = True
                    break
                group.append(job)
                if len(group) >= MAX_GROUP:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(connection, group)
        connection.close()

    def _commit(self, connection: Connection, group: list[tuple[Write[Any], Future[Any]]]) -> None:
        outcomes: dict[Future[Any], Any] = {}
        running = [(work, future) for work, future in group if future.set_running_or_notify_cancel()]
        try:
            with connection.begin():
                for work, future in running:
                    outcomes[future] = self._in_savepoint(connection, work)
        except Exception as error:  # the whole transaction failed: nobody's work is on disk
            failure = Failure(translate(error, self.path))
            outcomes = {
                future: outcome if isinstance(outcome := outcomes.get(future), Failure) else failure
                for _, future in running
            }
        for future, outcome in outcomes.items():
            if isinstance(outcome, Failure):
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome)

    def _in_savepoint(self, connection: Connection, work: Write[Any]) -> Any:
        """The result of one write, or its `Failure` with the transaction as it was before."""
        connection.exec_driver_sql("SAVEPOINT job")
        try:
            result = work(connection)
        except Exception as error:
            if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                raise  # SQLite rolled everything back itself, as it does when the disk is full
            connection.exec_driver_sql("ROLLBACK TO job")
            result = Failure(translate(error, self.path))
        connection.exec_driver_sql("RELEASE job")
        return result


class Failure:
    """What a write raised, kept until the group is committed."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def translate(error: Exception, path: Path) -> Exception:
    return storage_error(error, path) if isinstance(error, DBAPIError) else error


def storage_error(error: DBAPIError, path: Path) -> PenstockError:
    """A database error as one of ours: what happened to which file, and what to do."""
    reason = str(error.orig)
    if isinstance(error, OperationalError) and "full" in reason:
        return StorageFull(f"The disk is full: {path} cannot grow.", hint="Free some space and try again.")
    if "disk I/O error" in reason:
        return StorageFull(
            f"The disk refused a write to {path} ({reason}).",
            hint="It may be full or failing: check `df` and `dmesg`.",
        )
    return StorageError(f"{path.name}: {reason}")


def pragma(connection: Connection, name: str) -> Any:
    return connection.execute(text(f"PRAGMA {name}")).scalar()
