"""Does the jobs of one data folder: one process at a time, each job in one task, all of them again after a kill."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Mapping
from functools import partial

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import PenstockError
from penstock.jobs import repository
from penstock.jobs.store import JobStore
from penstock.jobs.values import Handler, Job

logger = logging.getLogger(__name__)

AT_ONCE = 16
LOOK_SECONDS = 1.0
"""Between two looks for what another process of the folder has asked for."""
FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0
"""Seconds before a job that raised is tried again: twice as many each time."""


class Worker:
    """`run` works until it is cancelled. Several processes may run one for the same folder: a lock of the kernel,
    which ends with its process, lets one of them work.
    """

    def __init__(self, store: JobStore, handlers: Mapping[str, Handler], clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._handlers = handlers
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something new to do."""
        self._wake.set()

    async def run(self) -> None:
        """Jobs that are under way when this is cancelled are cancelled, too, and go on with the next run."""
        lock = -1
        try:
            while True:
                if self._store.exists:
                    lock = lock if lock >= 0 else self._lock()
                    if lock >= 0:
                        await self._begin_due()
                await self._rest()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            if lock >= 0:
                os.close(lock)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _lock(self) -> int:
        """The lock's file; -1 where another process has it."""
        file = os.open(self._store.folder / "jobs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return -1
        return file

    async def _begin_due(self) -> None:
        find = partial(repository.due, kinds=tuple(self._handlers), now_us=self._clock.now_us(), limit=2 * AT_ONCE)
        try:
            found = await self._store.read(find)
        except PenstockError as error:
            logger.error("jobs cannot be read: %s", error)
            return
        for job in found:
            if len(self._tasks) < AT_ONCE and job.id not in self._tasks:
                self._tasks[job.id] = asyncio.create_task(self._do(job), name=job.id)

    async def _do(self, job: Job) -> None:
        try:
            await self._handlers[job.kind](job)
        except Exception as error:
            logger.exception("%s %s failed and will be tried again", job.kind, job.id)
            await self._postpone(job, error)
        finally:
            del self._tasks[job.id]
            self.wake()

    async def _postpone(self, job: Job, error: Exception) -> None:
        seconds = min(LONGEST_WAIT, FIRST_WAIT * 2**job.failures)
        due_us = self._clock.now_us() + int(seconds * 1e6)
        reason = str(error) if isinstance(error, PenstockError) else type(error).__name__
        try:
            await self._store.write(partial(repository.postpone, id=job.id, due_us=due_us, error=reason))
        except PenstockError as full:
            logger.error("job %s could not be put off: %s", job.id, full)
            await asyncio.sleep(seconds)
