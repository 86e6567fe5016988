"""Time as one injected value, so that tests decide what time it is."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_us(self) -> int:
        """UTC, microseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean something. Deadlines are on this scale."""
        ...


class SystemClock:
    monotonic = staticmethod(time.monotonic)

    def now_us(self) -> int:
        return time.time_ns() // 1000


class ManualClock:
    """A clock for tests: it moves only when told to."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us

    def monotonic(self) -> float:
        return self._now_us / 1e6

    def advance(self, seconds: float) -> None:
        self._now_us += int(seconds * 1e6)


SYSTEM_CLOCK = SystemClock()
