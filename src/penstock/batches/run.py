"""One batch under way: lines are begun, asked and kept, several at a time, until none is left or it is to stop.

What a line came to is on disk before it counts. That a line begins is on disk before it is asked: after a kill it
is known which lines may have been asked, and those are asked once more, the others for the first time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from penstock.batches import repository
from penstock.batches.answering import Answerer, Later, Place
from penstock.batches.values import Batch, Line, Result
from penstock.clock import Clock
from penstock.errors import PenstockError, Unauthenticated
from penstock.exchange import Principal
from penstock.jobs.store import JobStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks at whether the batch was cancelled, has expired, or its key has ended."""
GRACE_SECONDS = 5.0
"""How long lines in flight may go on when the process is to end."""
ROOM_SECONDS = 0.05
RETRY_SECONDS = 5.0
"""Before a result that the disk refused is written again: its call has been made, so it must not be lost."""
SHORTEST, LONGEST = 0.5, 60.0
"""Seconds: the bounds of a pause where nobody said how long it should be."""
MOST_TRIES = 5
"""Attempts at a line whose provider cannot be reached."""


class Surroundings:
    """What all batches of a process share. `slots` bounds the lines in flight; `standing` gives the principal as
    its key stands now, and raises `Unauthenticated` where that has ended.
    """

    def __init__(
        self,
        store: JobStore,
        answerer: Answerer,
        standing: Callable[[Principal], Principal],
        concurrency: int,
        clock: Clock,
    ) -> None:
        self.store = store
        self.answerer = answerer
        self.standing = standing
        self.concurrency = concurrency
        self.slots = asyncio.Semaphore(concurrency)
        self.clock = clock


class BatchRun:
    """`refused` is why the principal may not go on, once that is so."""

    def __init__(self, batch: Batch, path: Path, around: Surroundings) -> None:
        self.refused: Unauthenticated | None = None
        self._batch = batch
        self._path = path
        self._around = around
        self._over = asyncio.Event()
        self._paused_until = 0.0
        self._pauses = 0
        self._tries: dict[int, int] = {}

    async def work(self) -> None:
        """Returns when no line is left that could be begun, and none is in flight.

        When it is cancelled, lines in flight have a moment to end; the others go on with the next run.
        """
        count = min(self._around.concurrency, self._batch.total)
        workers = [asyncio.create_task(self._lines(), name=f"{self._batch.id} {number}") for number in range(count)]
        pending = set(workers)
        outcomes: list[BaseException | None] = []
        try:
            while pending:
                _, pending = await asyncio.wait(pending, timeout=LOOK_SECONDS)
                if pending and not self._over.is_set() and not await self._goes_on():
                    self._over.set()
        except asyncio.CancelledError:
            self._over.set()
            await asyncio.wait(workers, timeout=GRACE_SECONDS)
            raise
        finally:
            self._over.set()
            for worker in workers:
                worker.cancel()
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _goes_on(self) -> bool:
        batch = await self._around.store.read(partial(repository.find, id=self._batch.id))
        if batch is None or batch.status != "in_progress" or batch.expires_us <= self._around.clock.now_us():
            return False
        return self._principal() is not None

    def _principal(self) -> Principal | None:
        """Who asks, `None` where they may not any more."""
        try:
            return self._around.standing(self._batch.principal)
        except Unauthenticated as error:
            self.refused = error
            return None

    async def _lines(self) -> None:
        """Takes one line after the other."""
        try:
            while not self._over.is_set():
                if await self._held_up():
                    continue
                async with self._around.slots:
                    if not await self._next():
                        return
        except Exception:
            self._over.set()
            raise

    async def _held_up(self) -> bool:
        """Waits a while where there is a reason to; whether there was."""
        seconds = self._paused_until - asyncio.get_running_loop().time()
        if seconds <= 0:
            return False
        await self._rest(seconds)
        return True

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    async def _next(self) -> bool:
        """Begins a line and brings it to its end, or gives it back. False where no line is to be begun."""
        place = self._around.answerer.place()
        if place is None:
            await self._rest(ROOM_SECONDS)
            return True
        try:
            return await self._bring(place)
        finally:
            place.free()

    async def _bring(self, place: Place) -> bool:
        """Whoever gives a line back goes on, so that there is always one left to take it again."""
        around, batch = self._around, self._batch
        principal = None if self._over.is_set() else self._principal()
        if principal is None:
            return False
        line = await around.store.write(partial(repository.claim, batch_id=batch.id, now_us=around.clock.now_us()))
        if line is None:
            return False
        data = await asyncio.to_thread(piece, self._path, line)
        result = await around.answerer.answer(batch, line, data, principal, place)
        if isinstance(result, Later):
            tries = self._tries.get(line.number, 0) + 1
            if result.wait.patient or tries < MOST_TRIES:
                if not result.wait.patient:
                    self._tries[line.number] = tries
                self._pause(result.wait.seconds)
                await around.store.write(partial(repository.give_back, batch_id=batch.id, number=line.number))
                return True
            result = result.result
        self._pauses = 0
        self._tries.pop(line.number, None)
        await self._keep(result)
        return True

    def _pause(self, seconds: float | None) -> None:
        """Holds the whole batch up: what was refused to one line would be refused to the next."""
        if seconds is None:
            seconds = min(LONGEST, SHORTEST * 2**self._pauses) * random.uniform(0.75, 1.25)  # noqa: S311
            self._pauses += 1
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    async def _keep(self, result: Result) -> None:
        while True:
            try:
                finish = partial(repository.finish, batch_id=self._batch.id, result=result)
                await asyncio.shield(self._around.store.write(finish))
                return
            except PenstockError as error:
                logger.error("line %d of %s cannot be written yet: %s", result.number, self._batch.id, error)
                await asyncio.sleep(RETRY_SECONDS)


def piece(path: Path, line: Line) -> bytes:
    """The bytes of a line."""
    with path.open("rb") as file:
        file.seek(line.start)
        return file.read(line.length)
