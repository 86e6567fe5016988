"""A store on another machine, kept at arm's length: it may be down or slow, and no request notices.

A look-up has a deadline of a few milliseconds. After some failures in a row nothing is asked for a while, then one
look-up tries again. Writes wait in a queue with a bound in bytes and are sent by one task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Literal, Protocol, TypeVar

from msgspec import Struct

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.gateway.cache.base import StoreStats

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Wire(Protocol):
    """The commands of a server; each may raise whatever its client raises."""

    name: str

    async def get(self, key: bytes) -> bytes | None: ...

    async def put(self, key: bytes, data: bytes, seconds: float) -> None: ...

    async def delete(self, key: bytes) -> None: ...

    async def clear(self, namespace: bytes) -> None: ...

    async def close(self) -> None: ...


class Patience(Struct, frozen=True, kw_only=True):
    """Seconds for a look-up and for a write; after `failures` in a row the server is left alone for `pause`.

    `max_waiting` bounds the bytes that wait to be written.
    """

    look_up: float = 0.02
    write: float = 1.0
    failures: int = 3
    pause: float = 5.0
    max_waiting: int = 16 << 20


PATIENCE = Patience()


class Job(Struct, frozen=True):
    kind: Literal["put", "delete"]
    key: bytes
    data: bytes = b""
    seconds: float = 0.0


class RemoteStore:
    """A `CacheStore` on a server."""

    def __init__(self, wire: Wire, patience: Patience = PATIENCE, clock: Clock = SYSTEM_CLOCK) -> None:
        self._wire = wire
        self._patience = patience
        self._clock = clock
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._waiting_bytes = 0
        self._in_a_row = 0
        self._closed_until = 0.0
        self._failures = 0
        self._sender: asyncio.Task[None] | None = None

    async def get(self, key: bytes) -> bytes | None:
        if not self._may_ask():
            return None
        return await self._ask(self._wire.get(key), self._patience.look_up)

    def put(self, key: bytes, data: bytes, seconds: float) -> None:
        self._enqueue(Job("put", key, data, seconds))

    def delete(self, key: bytes) -> None:
        self._enqueue(Job("delete", key))

    async def clear(self, namespace: bytes) -> None:
        await self.flush()
        await self._ask(self._wire.clear(namespace), self._patience.write * 10)

    async def flush(self) -> None:
        await self._jobs.join()

    def stats(self) -> StoreStats:
        return StoreStats(failures=self._failures, up=self._in_a_row < self._patience.failures)

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._ask(self._wire.close(), self._patience.write)

    def _enqueue(self, job: Job) -> None:
        size = len(job.key) + len(job.data)
        if not self._may_ask() or self._waiting_bytes + size > self._patience.max_waiting:
            self._failures += 1
            return
        self._waiting_bytes += size
        self._jobs.put_nowait(job)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name=f"cache writes to {self._wire.name}")

    async def _send(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                if not self._may_ask():
                    self._failures += 1
                elif job.kind == "delete":
                    await self._ask(self._wire.delete(job.key), self._patience.write)
                else:
                    await self._ask(self._wire.put(job.key, job.data, job.seconds), self._patience.write)
            finally:
                self._waiting_bytes -= len(job.key) + len(job.data)
                self._jobs.task_done()

    def _may_ask(self) -> bool:
        """Whether the server is worth a try: one at a time, while it is not known to be back."""
        if self._in_a_row < self._patience.failures:
            return True
        now = self._clock.monotonic()
        if now < self._closed_until:
            return False
        self._closed_until = now + self._patience.pause
        return True

    async def _ask(self, command: Awaitable[T], seconds: float) -> T | None:
        try:
            async with asyncio.timeout(seconds):
                answer = await command
        except Exception as error:  # whatever a client raises: the cache is not worth a request
            self._failed(error)
            return None
        if self._in_a_row >= self._patience.failures:
            logger.warning("the cache at %s is back", self._wire.name)
        self._in_a_row = 0
        return answer

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._in_a_row += 1
        self._closed_until = self._clock.monotonic() + self._patience.pause
        if self._in_a_row == self._patience.failures:
            why = type(error).__name__
            logger.warning("the cache at %s does not answer (%s); requests go on without it", self._wire.name, why)
