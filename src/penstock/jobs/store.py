"""The database of background work, opened when there is some."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TypeVar

from penstock.storage.database import Database, Write
from penstock.storage.location import open_database

T = TypeVar("T")
SCHEMA = "jobs"


class JobStore:
    """`jobs.db` in a data folder: jobs, and in the same transactions what they have done.

    Opened by the first read or write, since most servers have none. It stays on this machine, as the files do that
    jobs work on. Methods raise `StorageFull` or `StorageError`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database: Database | None = None
        self._opening = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether there was ever a job."""
        return self._database is not None or (self.folder / f"{SCHEMA}.db").exists()

    async def read(self, query: Write[T]) -> T:
        """What a query finds, run in a thread."""

        def run() -> T:
            with self._opened().read() as connection:
                return query(connection)

        return await asyncio.to_thread(run)

    async def write(self, work: Write[T]) -> T:
        """Runs a write, and returns when it is on disk."""
        database = self._database
        if database is None:
            database = await asyncio.to_thread(self._opened)
        return await database.write(work)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _opened(self) -> Database:
        with self._opening:
            if self._database is None:
                self._database = open_database(self.folder, SCHEMA)
            found: Database = self._database
            return found
