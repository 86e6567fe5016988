"""What processes share: the database of access, followed by each of them within half a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from penstock.access import repository
from penstock.access.directory import Directory
from penstock.access.values import Changes
from penstock.audit.record import Actor, Event
from penstock.audit.repository import append
from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.storage.database import Database

T = TypeVar("T")
POLL_SECONDS = 0.5
USE_SECONDS = 30.0
"""How often the times of last use are written: they are for people, and a crash may lose the newest."""

logger = logging.getLogger(__name__)


class SharedState:
    """The database and the directory that reflects it.

    A change is in this process's directory before `change` returns, and in those of other processes within
    `POLL_SECONDS` of the commit.
    """

    def __init__(self, database: Database, directory: Directory, clock: Clock) -> None:
        self.directory = directory
        self._database = database
        self._clock = clock
        self._reading = asyncio.Lock()
        self._readings = 0

    async def change(self, actor: Actor, work: repository.Change[T], event_of: Callable[[T], Event]) -> T:
        """Runs a change and its audit record in one transaction, and takes in what it changed.

        Raises what `work` raises, and then nothing has changed; `StorageFull` or `StorageError`.
        """
        now = self._clock.now_us()
        result = await self._database.write(
            lambda connection: repository.recorded(
                connection, work, lambda done: append(connection, actor, event_of(done), now)
            )
        )
        await self.catch_up()
        return result

    async def catch_up(self) -> None:
        """Takes in what other processes changed before this was called. Many who wait share one reading."""
        begun = self._readings
        async with self._reading:
            if self._readings > begun:  # one that began after this call has ended meanwhile
                return
            self._readings += 1
            changes = await asyncio.to_thread(self._changes)
            if changes is not None:
                self.directory.apply(changes)

    def load(self) -> None:
        """Takes in everything; for the start, off the event loop."""
        with self._database.read() as connection:
            self.directory.apply(repository.changes(connection, 0))

    def _changes(self) -> Changes | None:
        with self._database.read() as connection:
            seen = self.directory.version
            return repository.changes(connection, seen) if repository.version(connection) > seen else None

    async def upgrade(self) -> None:
        """Writes the digests of keys of another gateway that were used for the first time."""
        if upgraded := self.directory.take_upgraded():
            await self._database.write(lambda connection: repository.upgrade(connection, upgraded))

    async def note_use(self) -> None:
        """Writes when keys were last used."""
        if used := self.directory.take_used():
            await self._database.write(lambda connection: repository.note_use(connection, used))

    async def follow(self) -> None:
        """Keeps up with other processes until it is cancelled."""
        loop = asyncio.get_running_loop()
        written = loop.time()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.upgrade()
                await self.catch_up()
                if loop.time() - written >= USE_SECONDS:
                    written = loop.time()
                    await self.note_use()
            except PenstockError as error:
                logger.error("changes of keys could not be read: %s", error)
