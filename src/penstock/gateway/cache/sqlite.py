"""Answers in `cache.db`: they survive a restart.

Hits read the file directly and never wait for a write; writes are grouped by the database's writer thread. What
waits to be written is found in memory and bounded in bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import PenstockError, StorageError
from penstock.gateway.cache import repository
from penstock.gateway.cache.base import StoreStats
from penstock.gateway.cache.repository import CacheReader, EntryRow, QuestionRow
from penstock.storage.database import Write
from penstock.storage.sqlite import SqliteDatabase

logger = logging.getLogger(__name__)

SCHEMA = "cache"

MAX_WAITING = 32 << 20
"""Bytes that may wait for the disk; more than that is not kept."""

MAX_USED = 4096
"""Entries whose use is noted in memory before it is written."""


class SqliteStore:
    """The least recently used make room (`CacheStore`)."""

    def __init__(self, path: Path, max_bytes: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._database = opened(path)
        self._reader = CacheReader(path)
        self._waiting: dict[bytes, EntryRow] = {}
        self._waiting_bytes = 0
        self._used: dict[bytes, int] = {}
        self._evicted = 0
        self._failures = 0

    async def get(self, key: bytes) -> bytes | None:
        now = self._clock.now_us()
        if (row := self._waiting.get(key)) is not None:
            return row.data if row.until_us > now else None
        found = self._reader.find(key)
        if found is None or found[1] <= now:
            return None
        if len(self._used) < MAX_USED:
            self._used[key] = now
        return found[0]

    def put(self, key: bytes, data: bytes, seconds: float) -> None:
        now = self._clock.now_us()
        row = EntryRow(key, data, now, now + int(seconds * 1e6))
        self._forget(key)
        if row.size > self._max_bytes:
            self._submit(partial(repository.delete, key=key))
        elif self._waiting_bytes + row.size > MAX_WAITING:
            self._failures += 1
        else:
            self._waiting[key] = row
            self._waiting_bytes += row.size
            used, self._used = [(at, each) for each, at in self._used.items()], {}
            self._submit(partial(repository.put, row=row, used=used, max_bytes=self._max_bytes), row)

    def put_question(self, row: QuestionRow) -> None:
        """Keeps a question that an entry answers, as long as the entry."""
        self._submit(partial(repository.put_question, row=row))

    def questions(self, limit: int) -> list[QuestionRow]:
        """The questions whose answers were used last, the oldest of them first."""
        with self._database.read() as connection:
            return repository.questions(connection, limit)

    def delete(self, key: bytes) -> None:
        self._forget(key)
        self._submit(partial(repository.delete, key=key))

    async def clear(self, namespace: bytes) -> None:
        for key in [key for key in self._waiting if key.startswith(namespace)]:
            self._forget(key)
        self._submit(partial(repository.clear, start=namespace))
        await self.flush()

    async def flush(self) -> None:
        with contextlib.suppress(PenstockError):
            await self._database.write(lambda connection: None)
        await asyncio.sleep(0)  # what the writer tells this loop has arrived then, too

    def stats(self) -> StoreStats:
        entries, size = self._reader.totals() or (None, None)
        return StoreStats(
            entries=entries,
            bytes=size,
            max_bytes=self._max_bytes,
            evicted=self._evicted,
            failures=self._failures,
            up=entries is not None,
        )

    async def close(self) -> None:
        await asyncio.to_thread(self._database.close)
        self._reader.close()

    def _submit(self, work: Write[Any], row: EntryRow | None = None) -> None:
        """Queues a write; `row` waits until it is done."""
        try:
            future = self._database.submit(work)
        except StorageError:
            self._failures += 1
            self._written(row)
            return
        loop = asyncio.get_running_loop()

        def tell(future: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # nobody is left to be told: the loop is closed
                loop.call_soon_threadsafe(self._over, future, row)

        future.add_done_callback(tell)

    def _over(self, future: Future[Any], row: EntryRow | None) -> None:
        self._written(row)
        if (error := future.exception()) is not None:
            self._failures += 1
            logger.warning("the cache could not write: %s", error)
        elif row is not None:
            self._evicted += future.result()

    def _written(self, row: EntryRow | None) -> None:
        if row is not None and self._waiting.get(row.key) is row:
            self._forget(row.key)

    def _forget(self, key: bytes) -> None:
        if (row := self._waiting.pop(key, None)) is not None:
            self._waiting_bytes -= row.size


def opened(path: Path) -> SqliteDatabase:
    """The database. A file that cannot be read is replaced: it held nothing that cannot be made again."""
    try:
        return SqliteDatabase(path, SCHEMA, durable=False)
    except StorageError as error:
        logger.warning("%s is started anew: %s", path, error)
        for each in (path, *path.parent.glob(f"{path.name}-*")):
            each.unlink(missing_ok=True)
        return SqliteDatabase(path, SCHEMA, durable=False)
