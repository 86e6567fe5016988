"""A database: readers run freely, every write goes through one group-committing thread.

A write is a function that gets a connection inside a transaction. The writer thread takes all that wait,
runs each in its own savepoint, and commits them together: one sync of the disk for many callers, and a write
that fails costs only its own caller. `SqliteDatabase` and `PostgresDatabase` are the two there are.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from penstock.errors import PenstockError, StorageError
from penstock.storage.migrate import upgrade

T = TypeVar("T")
Write = Callable[[Connection], T]

MAX_GROUP = 256
MAX_WAITING = 20_000
ATTEMPTS = 5
"""Tries of a write that another process got in the way of."""


class Database(ABC):
    """An open database.

    `schema` names the folder of its migrations (`storage/migrations/SCHEMA`), which are run when it opens.
    `name` is what messages call the database.
    """

    def __init__(self, engine: Engine, schema: str, name: str) -> None:
        self.name = name
        self._engine = engine
        try:
            upgrade(engine, schema)
        except DBAPIError as error:
            raise self.explain(error) from error
        self._jobs: queue.Queue[tuple[Write[Any], Future[Any]] | None] = queue.Queue(MAX_WAITING)
        self._closed = False
        self._writer = threading.Thread(target=self._run, name=f"writer {name}", daemon=True)
        self._writer.start()

    @property
    def dialect(self) -> str:
        """ "sqlite" or "postgresql": for the few statements that one does better in its own way."""
        return self._engine.dialect.name

    @abstractmethod
    def explain(self, error: DBAPIError) -> PenstockError:
        """A driver's error as one of ours: what happened to which database, and what to do."""

    @abstractmethod
    def _lost_transaction(self, connection: Connection, error: Exception) -> bool:
        """Whether a failed write took the whole transaction with it, and not only its savepoint."""

    def _passes(self, error: Exception) -> bool:
        """Whether the same write may succeed when it is tried again at once."""
        return False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state. Call it off the event loop when the query is slow."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise self._translate(error) from error

    def submit(self, work: Write[T]) -> Future[T]:
        """Queues a write and returns at once; the future is done when the write is on disk.

        `work` may run more than once, each time in a new transaction. Raises `StorageError` when the database is
        closed or `MAX_WAITING` writes wait.
        """
        future: Future[T] = Future()
        if self._closed:
            raise StorageError(f"{self.name} is closed.")
        try:
            self._jobs.put_nowait((work, future))
        except queue.Full:
            raise StorageError(
                f"{self.name} has {MAX_WAITING} writes waiting.", hint="The disk is too slow for this load."
            ) from None
        return future

    async def write(self, work: Write[T]) -> T:
        """Runs a write and waits for the commit. Raises `StorageFull` or `StorageError`."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Commits what waits and closes the database."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._engine.dispose()

    def _run(self) -> None:
        connection: Connection | None = None
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
            running = [(work, future) for work, future in group if future.set_running_or_notify_cancel()]
            if not running:
                continue
            try:
                connection = connection or self._engine.connect().execution_options(writes=True)
            except Exception as error:  # the server is away: the next group tries again
                for _, future in running:
                    future.set_exception(self._translate(error))
                continue
            self._commit(connection, running)
        if connection is not None:
            connection.close()

    def _commit(
        self, connection: Connection, group: list[tuple[Write[Any], Future[Any]]], attempt: int = 1
    ) -> None:
        outcomes: dict[Future[Any], Any] = {}
        try:
            with connection.begin():
                for work, future in group:
                    outcomes[future] = self._in_savepoint(connection, work)
        except Exception as error:  # the whole transaction failed: nobody's work is on disk
            if self._passes(error) and attempt < ATTEMPTS:
                for job in group:
                    self._commit(connection, [job], attempt + 1)
                return
            failure = Failure(self._translate(error))
            outcomes = {
                future: outcome if isinstance(outcome := outcomes.get(future), Failure) else failure
                for _, future in group
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
            if self._passes(error) or self._lost_transaction(connection, error):
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT job")
            result = Failure(self._translate(error))
        connection.exec_driver_sql("RELEASE SAVEPOINT job")
        return result

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, self._engine.dialect.loaded_dbapi.Error):  # from the driver's own cursor (COPY)
            error = DBAPIError(None, None, error)
        return self.explain(error) if isinstance(error, DBAPIError) else error


class Failure:
    """What a write raised, kept until the group is committed."""

    def __init__(self, error: Exception) -> None:
        self.error = error
