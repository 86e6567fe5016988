"""What a call costs on a machine that is paid by the hour: its share of the time in which the machine is busy."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import msgspec

from penstock.exchange import Chunk, Exchange
from penstock.seams import Provider

HOUR = 3600
BILLION = 1_000_000_000


class BusyTime:
    """Divides busy time equally among the calls that are in progress, so that the shares add up to all of it.

    `virtual` advances by one second's share of one call each second (the virtual time of fair queueing), so that a
    call costs the same two subtractions whatever went on beside it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._virtual = 0.0
        self._since = monotonic()
        self._running = 0

    def enter(self) -> float:
        """A call begins; what this returns is given to `share`."""
        self._advance()
        self._running += 1
        return self._virtual

    def share(self, entered: float) -> float:
        """Seconds of the machine that a call has taken until now."""
        self._advance()
        return self._virtual - entered

    def leave(self) -> None:
        self._advance()
        self._running -= 1

    def _advance(self) -> None:
        now = self._monotonic()
        if self._running:
            self._virtual += (now - self._since) / self._running
        self._since = now


class MachineTime:
    """A provider whose usage carries the cost of its machine's time (`seams.Provider`), in dollars an hour."""

    def __init__(self, provider: Provider, per_hour: float, busy: BusyTime | None = None) -> None:
        self._provider = provider
        self._nanos_per_second = per_hour * BILLION / HOUR
        self._busy = busy or BusyTime()

    @property
    def name(self) -> str:
        return self._provider.name

    async def answer(self, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        entered = self._busy.enter()
        try:
            chunks = self._provider.answer(exchange)
            async with aclosing(chunks if isinstance(chunks, AsyncGenerator) else relayed(chunks)) as stream:
                async for chunk in stream:
                    if chunk.usage is None:
                        yield chunk
                        continue
                    cost = round(self._busy.share(entered) * self._nanos_per_second)
                    usage = msgspec.structs.replace(chunk.usage, cost_nanos=cost)
                    yield msgspec.structs.replace(chunk, usage=usage)
        finally:
            self._busy.leave()

    async def close(self) -> None:
        await self._provider.close()


async def relayed(chunks: AsyncIterator[Chunk]) -> AsyncGenerator[Chunk, None]:
    async for chunk in chunks:
        yield chunk
