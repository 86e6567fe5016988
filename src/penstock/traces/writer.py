"""Takes finished traces off the request's hands and stores them in batches.

`put` only enqueues, within a bound in bytes; what does not fit is dropped and counted. One thread writes what
waits, so that a batch grows with the load. A disk that refuses is tried again until it takes the batch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from penstock.errors import StorageError, StorageFull
from penstock.storage.database import Database
from penstock.traces import repository
from penstock.traces.span import Ended, TraceRecord

logger = logging.getLogger(__name__)

MAX_BATCH = 256
SLICE = 16
"""Traces that become rows at a stretch: Python's lock is held for about 0.2 ms, and a request may wait for it."""
PAUSE_SECONDS = 50e-6
GATHER_SECONDS = 0.1
RETRY_SECONDS = (0.5, 5.0)
ATTEMPTS = 3


class WriterStats(Struct, frozen=True, kw_only=True):
    """Counts of traces since the start. `failing` is why the disk refuses now, "" when it does not."""

    written: int
    dropped: int
    queued: int
    queued_bytes: int
    failing: str


class TraceWriter:
    """The queue and its thread. `put` and `flush` are safe from any thread."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        self._database = database
        self._max_bytes = max_bytes
        self._waiting: deque[Ended] = deque()
        self._bytes = 0
        self._accepted = 0
        self._written = 0
        self._lost = 0
        self._refused = 0
        self._failing = ""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._hurry = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="trace writer", daemon=True)
        self._thread.start()

    def put(self, ended: Ended) -> None:
        with self._lock:
            if self._closing or self._bytes + ended.size > self._max_bytes:
                self._refused += 1
                return
            self._waiting.append(ended)
            self._bytes += ended.size
            self._accepted += 1
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Waits until all that was put is stored; false if it was not within `timeout` seconds."""
        with self._changed:
            target = self._accepted
            self._hurry.set()
            return self._changed.wait_for(lambda: self._written + self._lost >= target, timeout)

    def stats(self) -> WriterStats:
        with self._changed:
            return WriterStats(
                written=self._written,
                dropped=self._refused + self._lost,
                queued=self._accepted - self._written - self._lost,
                queued_bytes=self._bytes,
                failing=self._failing,
            )

    def close(self) -> None:
        """Stores what waits; a disk that still refuses is asked once more, and what it refuses is lost."""
        with self._changed:
            self._closing = True
            self._hurry.set()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                few = len(self._waiting) < MAX_BATCH and not self._closing
            if few:
                self._hurry.wait(GATHER_SECONDS)
            with self._changed:
                self._hurry.clear()
                batch = deque([self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))])
            taken, size = len(batch), sum([ended.size for ended in batch])
            records = recorded(batch)
            self._settle(taken, taken - len(records) + self._store(records), size)

    def _store(self, records: Sequence[TraceRecord]) -> int:
        """Stores a batch; returns how many of it were lost."""
        delay, longest = RETRY_SECONDS
        attempts = 0
        while True:
            attempts += 1
            try:
                self._insert(records)
            except StorageFull as error:
                self._refuses(error)
                if self._closing:
                    return len(records)
            except StorageError as error:
                self._refuses(error)
                if attempts >= ATTEMPTS or self._closing:
                    return self._one_by_one(records)
            except Exception:
                logger.exception("a batch of %d traces cannot be stored as a whole", len(records))
                return self._one_by_one(records)
            else:
                return 0
            self._hurry.wait(delay)
            self._hurry.clear()
            delay = min(longest, 2 * delay)

    def _insert(self, records: Sequence[TraceRecord]) -> None:
        self._database.submit(lambda connection: repository.insert(connection, records)).result()

    def _one_by_one(self, records: Sequence[TraceRecord]) -> int:
        """Stores what can be stored of a batch that fails as a whole; returns how many could not."""
        lost = 0
        for record in records:
            try:
                self._insert([record])
            except Exception as error:
                lost += 1
                logger.error("trace %s cannot be stored: %s", record.id, error)
        return lost

    def _refuses(self, error: StorageError | StorageFull) -> None:
        if not self._failing:
            logger.error("traces are not being stored, and wait in memory: %s", error)
        with self._changed:
            self._failing = error.message

    def _settle(self, done: int, lost: int, size: int) -> None:
        """Counts `done` traces with so many bytes as over and done with, `lost` of them not stored."""
        if lost:
            logger.error("%d traces were lost", lost)
        elif self._failing:
            logger.warning("traces are being stored again")
        with self._changed:
            self._written += done - lost
            self._lost += lost
            self._bytes -= size
            if not lost:
                self._failing = ""
            self._changed.notify_all()


def recorded(batch: deque[Ended]) -> list[TraceRecord]:
    """The rows of traces, those left out that have none. Empties `batch`, to be rid of what they are made of."""
    records: list[TraceRecord] = []
    while batch:
        for ended in [batch.popleft() for _ in range(min(SLICE, len(batch)))]:
            try:
                records.append(ended.record())
            except Exception:
                logger.exception("trace %s could not be recorded", ended.id)
        time.sleep(PAUSE_SECONDS)
    return records
