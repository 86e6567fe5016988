"""How many requests there are, and how quickly they end: what decides whether another one comes in."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.exchange import Purpose

BACKGROUND_SHARE = 0.75
"""Of all places, those that requests may take for which nobody waits."""
SOONEST, LATEST = 1.0, 60.0
"""Seconds: the bounds of what a refused request is told to wait."""
WEIGHT = 0.1
"""Of the newest interval between two ends in the moving average."""


class Admission:
    """One for a server, whatever its configurations. `limit` is how many requests may be in flight at once.

    `shed` counts the refused ones by their priority.
    """

    __slots__ = ("_background", "_interval", "_last", "_limit", "_monotonic", "running", "shed")

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.running = 0
        self.shed = {"interactive": 0, "background": 0}
        self._interval = 0.0
        self._last = 0.0
        self.limit = limit

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._background = max(1, int(limit * BACKGROUND_SHARE))

    def enter(self, purpose: Purpose) -> int:
        """Takes a place and returns 0; or else how many are taken of those that such requests may have."""
        bound = self._limit if purpose == "live" else self._background
        if self.running < bound:
            self.running += 1
            return 0
        self.shed["interactive" if purpose == "live" else "background"] += 1
        return bound

    def has_room(self, purpose: Purpose, coming: int = 0) -> bool:
        """Whether there is a place beside `coming` others that are about to enter: for who can wait instead."""
        return self.running + coming < (self._limit if purpose == "live" else self._background)

    def leave(self) -> None:
        self.running -= 1
        now = self._monotonic()
        if self._last:
            self._interval += (now - self._last - self._interval) * WEIGHT
        self._last = now

    def retry_after(self, bound: int) -> float:
        """Seconds until a place among `bound` is likely to be free, by how quickly requests end."""
        since = self._monotonic() - self._last if self._last else 0.0
        wait = (self.running - bound + 1) * max(self._interval, since)
        return min(LATEST, max(SOONEST, wait))
