"""Takes finished traces off the request's hands and stores them in batches.

`put` only enqueues, within a bound in bytes; what does not fit is dropped and counted. One thread writes what
waits, so that a batch grows with the load. A disk that refuses is tried again until it takes the batch.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from penstock.errors import StorageError, StorageFull
from penstock.storage.database import Database
from penstock.traces import repository
from penstock.traces.span import TraceRecord

logger = logging.getLogger(__name__)

MAX_BATCH = 256
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
        self._waiting: deque[TraceRecord] = deque()
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

    def put(self, record: TraceRecord) -> None:
        with self._lock:
            if self._closing or self._bytes + record.size > self._max_bytes:
                self._refused += 1
                return
            self._waiting.append(record)
            self._bytes += record.size
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
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            self._store(batch)

    def _store(self, batch: Sequence[TraceRecord]) -> None:
        delay, longest = RETRY_SECONDS
        attempts = 0
        while True:
            attempts += 1
            try:
                self._insert(batch)
            except StorageFull as error:
                self._refuses(error)
                if self._closing:
                    self._settle(batch, lost=len(batch))
                    return
            except StorageError as error:
                self._refuses(error)
                if attempts >= ATTEMPTS or self._closing:
                    self._settle(batch, lost=self._one_by_one(batch))
                    return
            except Exception:
                logger.exception("a batch of %d traces cannot be stored as a whole", len(batch))
                self._settle(batch, lost=self._one_by_one(batch))
                return
            else:
                self._settle(batch, lost=0)
                return
            self._hurry.wait(delay)
            self._hurry.clear()
            delay = min(longest, 2 * delay)

    def _insert(self, batch: Sequence[TraceRecord]) -> None:
        self._database.submit(lambda connection: repository.insert(connection, batch)).result()

    def _one_by_one(self, batch: Sequence[TraceRecord]) -> int:
        """Stores what can be stored of a batch that fails as a whole; returns how many could not."""
        lost = 0
        for record in batch:
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

    def _settle(self, batch: Sequence[TraceRecord], lost: int) -> None:
        """Counts a batch as done."""
        if lost:
            logger.error("%d traces were lost", lost)
        elif self._failing:
            logger.warning("traces are being stored again")
        with self._changed:
            self._written += len(batch) - lost
            self._lost += lost
            self._bytes -= sum(record.size for record in batch)
            if not lost:
                self._failing = ""
            self._changed.notify_all()
