"""Answers in this process, gone with it."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.gateway.cache.base import StoreStats

OVERHEAD = 250
"""Bytes that an entry takes beside its data: key, record and its place in the table, as measured."""


class Held(Struct, frozen=True):
    data: bytes
    until: float


class MemoryStore:
    """The least recently used make room (`CacheStore`)."""

    def __init__(self, max_bytes: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        self._bytes = 0
        self._evicted = 0

    async def get(self, key: bytes) -> bytes | None:
        held = self._held.get(key)
        if held is None:
            return None
        if held.until <= self._clock.monotonic():
            self.delete(key)
            return None
        self._held.move_to_end(key)
        return held.data

    def put(self, key: bytes, data: bytes, seconds: float) -> None:
        self.delete(key)
        if len(data) + OVERHEAD > self._max_bytes:
            return
        self._held[key] = Held(data, self._clock.monotonic() + seconds)
        self._bytes += len(data) + OVERHEAD
        while self._bytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= len(oldest.data) + OVERHEAD
            self._evicted += 1

    def delete(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._bytes -= len(held.data) + OVERHEAD

    async def clear(self, namespace: bytes) -> None:
        for key in [key for key in self._held if key.startswith(namespace)]:
            self.delete(key)

    async def flush(self) -> None:
        pass

    def stats(self) -> StoreStats:
        return StoreStats(
            entries=len(self._held), bytes=self._bytes, max_bytes=self._max_bytes, evicted=self._evicted
        )

    async def close(self) -> None:
        self._held.clear()
        self._bytes = 0
