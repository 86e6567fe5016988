"""Takes what was accounted off the requests' hands and writes it in batches.

One thread writes what waits, so that a batch grows with the load. A disk or a server that refuses is asked again
until it takes the batch; what waits is bounded by the journal, and then new calls are refused.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from penstock.access.ledger import repository
from penstock.access.ledger.fingerprint import Fingerprint, fingerprint
from penstock.access.ledger.journal import Journal
from penstock.access.ledger.repository import Call, Row
from penstock.errors import PenstockError, StorageError, StorageFull, Unavailable
from penstock.exchange import Exchange
from penstock.storage.database import Database

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
RETRY_SECONDS = (0.2, 5.0)
FINGERPRINTED = 64
"""Requests of a batch whose fingerprint is taken: at most some hundred in a second, however many there are."""


class Waiter:
    """Somebody who waits for a batch."""

    __slots__ = ("batch", "future", "loop")

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()


class LedgerWriter:
    """The queue and its thread. `lock` guards everything that both it and the requests touch.

    `calls` are those to write, by their id; `batch` is the number of the batch that they will be in, `committed`
    that of the last one in the database. Calls below `doubtful_below` may have been written before, or been taken
    for lost. `eager` writes at once; else batches are gathered for a moment. `check` is called before each batch,
    and may refuse it.
    """

    def __init__(
        self, database: Database, journal: Journal | None, check: Callable[[], None], *, eager: bool
    ) -> None:
        self.lock = threading.Lock()
        self.calls: dict[int, Call] = {}
        self.dimensions: list[Row] = []
        self.asked: list[tuple[int, Exchange]] = []
        self.batch = 1
        self.committed = 0
        self.doubtful_below = 0
        self.failing: PenstockError | None = None
        self._database = database
        self._check = check
        self._journal = journal
        self._eager = eager
        self._waiters: list[Waiter] = []
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._settled = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="ledger writer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to write, where there was nothing before."""
        self._wake.set()

    async def wait(self, batch: int) -> None:
        """Returns once the batch is in the database. Raises what the database refuses it with."""
        waiter = Waiter(batch)
        with self.lock:
            if self.committed >= batch:
                return
            if self.failing is not None:
                raise self.failing
            self._waiters.append(waiter)
        self._wake.set()
        await waiter.future

    def flush(self, timeout: float) -> bool:
        """Waits until all that was accounted can be read; false if it was not within `timeout` seconds."""
        with self.lock:
            target = self.batch
        self._hurry.set()
        self._wake.set()
        with self._settled:
            return self._settled.wait_for(lambda: self.committed >= target, timeout)

    def close(self) -> None:
        """Writes what waits; what the database still refuses then stays in the journal."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        delay = RETRY_SECONDS[0]
        while True:
            self._wake.wait()
            if not self._eager or self.failing is not None:
                self._hurry.wait(delay if self.failing else GATHER_SECONDS)
            self._hurry.clear()
            self._wake.clear()
            if self._write():
                delay = RETRY_SECONDS[0]
            else:
                delay = min(RETRY_SECONDS[1], 2 * delay)
                self._wake.set()
            if self._closing and (self.failing is not None or not self.calls):
                return

    def _write(self) -> bool:
        try:
            self._check()
        except Exception as error:
            self._refused(as_refusal(error), {}, [], [])
            return False
        with self.lock:
            calls, self.calls = self.calls, {}
            dimensions, self.dimensions = self.dimensions, []
            asked, self.asked = self.asked, []
            batch, doubtful_below = self.batch, self.doubtful_below
            self.batch += 1
            if self._journal is not None:
                self._journal.turn()
        if calls or dimensions:
            marks = {identity: fingerprint(exchange) for identity, exchange in asked}
            first = not calls or min(calls) >= doubtful_below
            try:
                self._put(calls.values(), dimensions, marks, first=first)
            except Exception as error:
                self._refused(as_refusal(error), calls, dimensions, asked)
                return False
        self._taken_in(batch)
        return True

    def _put(
        self, calls: Collection[Call], dimensions: Sequence[Row], marks: Mapping[int, Fingerprint], *, first: bool
    ) -> None:
        self._database.submit(
            lambda connection: repository.put(connection, calls, dimensions, marks, first=first)
        ).result()

    def _refused(
        self,
        error: PenstockError,
        calls: dict[int, Call],
        dimensions: list[Row],
        asked: list[tuple[int, Exchange]],
    ) -> None:
        """Puts a batch back. Whether it was committed all the same is looked up when it is written again."""
        if self.failing is None:
            logger.error("the ledger is not being written, and waits: %s", error)
        with self.lock:
            self.calls = calls | self.calls
            self.dimensions = dimensions + self.dimensions
            self.asked = asked + self.asked
            self.doubtful_below = max(self.doubtful_below, max(self.calls, default=0) + 1)
            self.failing = error
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.loop.call_soon_threadsafe(fail, waiter.future, error)

    def _taken_in(self, batch: int) -> None:
        if self.failing is not None:
            logger.warning("the ledger is being written again")
        with self.lock:
            self.committed = batch
            self.failing = None
            if self._journal is not None:
                self._journal.taken_in()
            ready = [waiter for waiter in self._waiters if waiter.batch <= batch]
            self._waiters = [waiter for waiter in self._waiters if waiter.batch > batch]
        for loop in {waiter.loop for waiter in ready}:
            futures = [waiter.future for waiter in ready if waiter.loop is loop]
            loop.call_soon_threadsafe(finish, futures)
        with self._settled:
            self._settled.notify_all()


def as_refusal(error: Exception) -> PenstockError:
    """What the database said; anything else is a mistake here, and the calls must not be lost by it."""
    if isinstance(error, (StorageError, StorageFull, Unavailable)):
        return error
    logger.exception("the ledger cannot be written", exc_info=error)
    return StorageError(f"The ledger cannot be written: {type(error).__name__}.")


def finish(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def fail(future: asyncio.Future[None], error: PenstockError) -> None:
    if not future.done():
        future.set_exception(error)
