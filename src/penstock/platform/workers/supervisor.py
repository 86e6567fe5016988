"""Starts the workers of an app, starts them again when they die, and stops them in order.

    supervisor ──┬── worker 0   serves, and does what is to be done once
      holds the  ├── worker 1   serves
      folder's   └── …
      lock, and counts for the limits of all

It serves no request itself. The kernel spreads connections over the workers, which listen on the same port; a
worker that is killed takes only its own connections with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from penstock.access.hashing import new_secret
from penstock.access.keys import OWNER_TOKEN_PREFIX
from penstock.access.limits.coordinator import Coordinator
from penstock.access.store import is_keyed
from penstock.config import AppFolder
from penstock.errors import Unavailable
from penstock.http.serve import FAREWELL, reserve, url_of
from penstock.platform.limits import open_counts
from penstock.platform.tls import certificate_of
from penstock.platform.workers.worker import LIMITS, Worker, encode, told
from penstock.storage.lock import FolderLock

logger = logging.getLogger(__name__)

SOONEST, LATEST = 0.1, 10.0
"""Seconds between the death of a worker and the start of the next, doubled with each that does not last."""
LASTS = 10.0
"""Seconds after which a worker counts as one that works."""
GRACE = 5.0
"""Seconds beyond those of the drain before a worker that does not end is killed."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """The workers of one app. Made by `open`; `serve` returns when all have ended."""

    def __init__(self, folder: AppFolder, lock: FolderLock, sockets: Path) -> None:
        self._folder = folder
        self._lock = lock
        self._sockets = sockets
        self._token = new_secret(OWNER_TOKEN_PREFIX)
        self._running: dict[int, Process] = {}
        self._stopping = asyncio.Event()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: AppFolder) -> AsyncIterator[Supervisor]:
        """Takes the data folder's lock and counts for the limits, unless a database that all share does that.

        Raises `StorageError` where another process holds the folder.
        """
        async with AsyncExitStack() as stack:
            lock = stack.enter_context(FolderLock(folder.make_data_folder()))
            sockets = Path(tempfile.mkdtemp(prefix="penstock-"))
            stack.callback(shutil.rmtree, sockets, ignore_errors=True)
            if folder.settings.database.url is None:
                coordinator = Coordinator(sockets / LIMITS, open_counts(folder, stack))
                await coordinator.start_serving()
                counting = asyncio.create_task(coordinator.serve())
                stack.push_async_callback(ended, counting)
            yield cls(folder, lock, sockets)

    async def serve(self, on_listening: Callable[[str], None] = lambda url: None) -> None:
        """Serves until SIGTERM or SIGINT. Raises `ConfigError` for the port, `Unavailable` where none starts."""
        server = self._folder.settings.server
        loop = asyncio.get_running_loop()
        with contextlib.closing(reserve(server.host, server.port, keyed=is_keyed(self._folder))) as held:
            self.port = held.getsockname()[1]
            for each in SIGNALS:
                loop.add_signal_handler(each, self._stop)
            loop.add_signal_handler(signal.SIGHUP, self._reload)
            keeping: list[asyncio.Task[None]] = []
            try:
                # One after the other: the first brings the databases up to date.
                for number in range(server.workers):
                    process = await self._first(number)
                    keeping.append(asyncio.create_task(self._keep(number, process)))
                if not self._stopping.is_set():
                    url = url_of(server.host, self.port, tls=server.tls is not None)
                    self._lock.announce(url, self._token, certificate_of(self._folder))
                    on_listening(url)
                await self._stopping.wait()
            finally:
                self._stop()
                await self._end(server.drain_seconds + FAREWELL + GRACE)
                await asyncio.gather(*keeping)
                for each in (*SIGNALS, signal.SIGHUP):
                    loop.remove_signal_handler(each)

    async def _first(self, number: int) -> Process:
        process = await self._start(number)
        if not await is_ready(process) and not self._stopping.is_set():
            raise Unavailable(
                f"Worker {number} ended before it listened.", hint="What it printed before that says why."
            )
        return process

    async def _start(self, number: int) -> Process:
        """A worker that was told what it is; it reads the configuration as it stands now."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock.platform.workers.child",
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C is this process's to pass on
        )
        assert process.stdin is not None
        worker = Worker(
            number=number,
            count=self._folder.settings.server.workers,
            app=str(self._folder.single or self._folder.root),
            overrides=told(self._folder.overrides),
            sockets=str(self._sockets),
            token=self._token,
            port=self.port,
        )
        self._running[number] = process
        process.stdin.write(encode(worker))
        return process

    async def _keep(self, number: int, process: Process) -> None:
        """Starts a worker again whenever it ends, until all are to stop."""
        delay = SOONEST
        while True:
            started = time.monotonic()
            status = await process.wait()
            self._running.pop(number, None)
            if self._stopping.is_set():
                return
            delay = SOONEST if time.monotonic() - started > LASTS else min(LATEST, 2 * delay)
            logger.error("worker %d ended with status %s; it is started again in %g s", number, status, delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            if self._stopping.is_set():
                return
            process = await self._start(number)
            if await is_ready(process):
                logger.info("worker %d is up again", number)

    def _stop(self) -> None:
        """Passes the signal on; workers take a second one as "at once"."""
        self._stopping.set()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    def _reload(self) -> None:
        """One worker reads the configuration and tells the others."""
        for _, process in sorted(self._running.items()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)
                return

    async def _end(self, seconds: float) -> None:
        waiting = [asyncio.create_task(process.wait()) for process in self._running.values()]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=seconds)
        if late:
            logger.error("%d workers did not end within %g s and are killed", len(late), seconds)
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


async def is_ready(process: Process) -> bool:
    """Waits until a worker listens; false where it ended instead."""
    assert process.stdout is not None
    return await process.stdout.readline() == b"ready\n"


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
