"""The responses of one data folder: keep one, look one up, go back along the conversation that led to it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import NotFound, PenstockError
from penstock.gateway.responses import repository
from penstock.gateway.responses.repository import StoredResponse
from penstock.storage.database import Database
from penstock.storage.location import open_database

logger = logging.getLogger(__name__)

SCHEMA = "responses"
MAX_TURNS = 1000
"""Responses that a conversation may go back."""

PRUNE_BATCH = 500
RETENTION_SECONDS = 3600
DAY_US = 86_400_000_000


class ResponseStore:
    """Opens `responses.db` with the first response that is kept or asked for, since most servers keep none.

    `location` is a folder, or the address of a PostgreSQL database. A response is on disk when `put` returns. What
    a project stored, no other can see.
    """

    def __init__(self, location: Path | str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self._location = location
        self._database: Database | None = None
        self._opening = threading.Lock()

    async def put(self, response: StoredResponse) -> None:
        """Raises `StorageFull` or `StorageError`."""
        database = await self._open()
        await database.write(lambda connection: repository.put(connection, response))

    async def get(self, project_id: str, id: str) -> StoredResponse:
        """Raises `NotFound`."""
        database = await self._open()

        def read() -> StoredResponse | None:
            with database.read() as connection:
                return repository.get(connection, project_id, id)

        found = await asyncio.to_thread(read)
        if found is None:
            raise missing(id)
        return found

    async def chain(self, project_id: str, id: str) -> Sequence[StoredResponse]:
        """A response and those before it, the oldest first. Raises `NotFound` for the first one that is missing."""
        database = await self._open()

        def read() -> Sequence[StoredResponse]:
            with database.read() as connection:
                return repository.chain(connection, project_id, id, MAX_TURNS)

        found = await asyncio.to_thread(read)
        gone = found[0].previous_id if found else id
        if gone is not None:
            raise missing(gone)
        return found

    async def delete(self, project_id: str, id: str) -> None:
        """Raises `NotFound`."""
        database = await self._open()
        if not await database.write(lambda connection: repository.remove(connection, project_id, id)):
            raise missing(id)

    async def retain(self, days: int) -> None:
        """Deletes what is older than `days`, now and every hour, until it is cancelled."""
        while True:
            try:
                await self.prune(self.clock.now_us() - days * DAY_US)
            except PenstockError as error:
                logger.error("old responses could not be deleted: %s", error)
            await asyncio.sleep(RETENTION_SECONDS)

    async def prune(self, before_us: int) -> int:
        """Deletes the responses from before `before_us`, a batch at a time; returns how many."""
        if self._database is None and not self._exists():
            return 0
        database = await self._open()
        deleted, batch = 0, PRUNE_BATCH
        while batch == PRUNE_BATCH:
            batch = await database.write(lambda connection: repository.prune(connection, before_us, PRUNE_BATCH))
            deleted += batch
        return deleted

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _exists(self) -> bool:
        return not isinstance(self._location, Path) or (self._location / f"{SCHEMA}.db").exists()

    async def _open(self) -> Database:
        database = self._database
        return database if database is not None else await asyncio.to_thread(self._opened)

    def _opened(self) -> Database:
        with self._opening:
            if self._database is None:
                self._database = open_database(self._location, SCHEMA)
            found: Database = self._database
            return found


def missing(id: str) -> NotFound:
    return NotFound(
        f"There is no response {id[:100]!r}.",
        hint="Responses are kept where 'store' is not false, as long as traces are (keep_days under [traces]).",
    )
