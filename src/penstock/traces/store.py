"""The traces of one data folder: begin one, list them, look at one, say what one thought of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import InvalidRequest, NotFound, StorageError, StorageFull
from penstock.exchange import Exchange
from penstock.storage.database import Database
from penstock.storage.sqlite import SqliteDatabase
from penstock.traces import repository
from penstock.traces.recorder import ActiveTrace, RecorderSettings
from penstock.traces.span import ContextUse, Feedback, ModelScore, TraceDetail, TraceFilter, TracePage
from penstock.traces.writer import TraceWriter, WriterStats

logger = logging.getLogger(__name__)

MAX_QUEUE_BYTES = 64 << 20
MAX_COUNT = 10_000
MAX_LIMIT = 500
MAX_CONTEXTS = 2_000
"""Answers that are looked at for what they used of their passages."""
EVERYTHING = RecorderSettings()
PRUNE_BATCH = 500
FRESH_SECONDS = 2.0
RETENTION_SECONDS = 3600
DAY_US = 86_400_000_000


class TraceStore:
    """An open `traces.db`. `begin` and the trace it gives never wait; everything else does.

    A trace can be read within a second of its end. Only this process may have the file open for writing.
    """

    def __init__(self, database: Database, clock: Clock, settings: RecorderSettings, max_bytes: int) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._writer = TraceWriter(database, max_bytes)

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock = SYSTEM_CLOCK,
        settings: RecorderSettings = EVERYTHING,
        max_bytes: int = MAX_QUEUE_BYTES,
    ) -> TraceStore:
        """Opens or creates the file. `max_bytes` bounds what may wait in memory for the disk.

        Raises `StorageError` for a file that is no trace database, `StorageFull` where it cannot grow.
        """
        return cls(SqliteDatabase(path, "traces", durable=False), clock, settings, max_bytes)

    def use(self, settings: RecorderSettings) -> None:
        """Other settings, for the traces that begin from now on."""
        self._settings = settings

    def begin(self, exchange: Exchange) -> ActiveTrace:
        """Starts the trace of a request; `finish` it in every case."""
        return ActiveTrace(exchange, self._clock, self._settings, self._writer.put)

    async def list(self, wanted: TraceFilter, limit: int = 50, cursor: str | None = None) -> TracePage:
        """One page, newest start first. Every trace that was stored when the first page was read comes exactly
        once over all pages. Raises `InvalidRequest` for a cursor that no page gave, or a limit out of range.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit {limit} is out of range.", hint=f"Use 1 to {MAX_LIMIT}.", param="limit")
        before = None if cursor is None else key_from(cursor)
        return await asyncio.to_thread(self._page, wanted, limit, before)

    def _page(self, wanted: TraceFilter, limit: int, before: int | None) -> TracePage:
        with self._database.read() as connection:
            found = repository.page(connection, wanted, limit + 1, before)
        more = len(found) > limit
        return TracePage(
            traces=tuple(summary for _, summary in found[:limit]),
            next_cursor=f"{found[limit - 1][0]:x}" if more else None,
        )

    async def count(self, wanted: TraceFilter) -> int:
        """How many traces match, `MAX_COUNT` at most."""
        return await asyncio.to_thread(self._count, wanted)

    def _count(self, wanted: TraceFilter) -> int:
        with self._database.read() as connection:
            return repository.count(connection, wanted, MAX_COUNT)

    async def get(self, trace_id: str, project_id: str) -> TraceDetail | None:
        """A trace with its spans and feedback, also one that ended just now; `None` where the project has none."""
        found = await asyncio.to_thread(self._get, trace_id, project_id)
        if found is None and self.stats().queued and await self.flush(FRESH_SECONDS):
            found = await asyncio.to_thread(self._get, trace_id, project_id)
        return found

    def _get(self, trace_id: str, project_id: str) -> TraceDetail | None:
        with self._database.read() as connection:
            return repository.detail(connection, project_id, trace_id)

    async def add_feedback(self, project_id: str, feedback: Feedback) -> Feedback:
        """Attaches a score to an answer, also one given just now, in place of what the user said of it before.

        Returns it as it was stored. Raises `NotFound` where the project has no such trace.
        """
        given = msgspec.structs.replace(feedback, created_us=self._clock.now_us())
        stored = await self._database.write(
            lambda connection: repository.put_feedback(connection, project_id, given)
        )
        if not stored and self.stats().queued and await self.flush(FRESH_SECONDS):
            stored = await self._database.write(
                lambda connection: repository.put_feedback(connection, project_id, given)
            )
        if not stored:
            raise NotFound(
                f"There is no trace {feedback.trace_id!r}.",
                hint="Take trace_id from the answer; traces older than the retention are deleted.",
                param="trace_id",
            )
        return given

    async def scores(self, project_id: str | None, since_us: int) -> tuple[ModelScore, ...]:
        """What people thought of each model's answers since then, in one project or in all."""
        return await asyncio.to_thread(self._scores, project_id, since_us)

    def _scores(self, project_id: str | None, since_us: int) -> tuple[ModelScore, ...]:
        with self._database.read() as connection:
            return tuple(repository.scores(connection, project_id, since_us))

    async def context_use(self, project_id: str | None, since_us: int) -> tuple[ContextUse, ...]:
        """What the newest composed answers since then used of the passages that their model was sent."""
        return await asyncio.to_thread(self._context_use, project_id, since_us)

    def _context_use(self, project_id: str | None, since_us: int) -> tuple[ContextUse, ...]:
        with self._database.read() as connection:
            return tuple(repository.context_use(connection, project_id, since_us, MAX_CONTEXTS))

    async def prune(self, before_us: int) -> int:
        """Deletes the traces that started before `before_us`, a batch at a time; returns how many."""
        deleted = batch = await self._prune(before_us)
        while batch == PRUNE_BATCH:
            deleted += (batch := await self._prune(before_us))
        return deleted

    async def _prune(self, before_us: int) -> int:
        return await self._database.write(lambda connection: repository.prune(connection, before_us, PRUNE_BATCH))

    async def retain(self, days: int) -> None:
        """Deletes what is older than `days`, now and every hour, until it is cancelled."""
        while True:
            try:
                await self.prune(self._clock.now_us() - days * DAY_US)
            except (StorageError, StorageFull) as error:
                logger.error("old traces could not be deleted: %s", error)
            await asyncio.sleep(RETENTION_SECONDS)

    async def flush(self, timeout: float = 5.0) -> bool:
        """Waits until every finished trace can be read; false if that took more than `timeout` seconds."""
        return await asyncio.to_thread(self._writer.flush, timeout)

    def stats(self) -> WriterStats:
        """What was written, dropped and waits, for health and metrics."""
        return self._writer.stats()

    def close(self) -> None:
        """Stores what waits and closes the file."""
        self._writer.close()
        self._database.close()


def key_from(cursor: str) -> int:
    try:
        key = int(cursor, 16)
    except ValueError:
        key = 0
    if not 0 < key < 1 << 63:
        raise InvalidRequest(
            f"cursor {cursor[:40]!r} is not one.", hint="Use next_cursor of the page before.", param="cursor"
        )
    return key
