"""Deadlines of all waits, looked at by one timer: a timer for every wait would cost more than the wait is worth."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.net.exchange import Response

TICK = 0.025
"""Seconds; a wait ends at most this much after its deadline."""


class Watch:
    """The answers that are awaited. Its timer runs only while there are some."""

    def __init__(self) -> None:
        self._watched: set[Response] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, response: Response) -> None:
        self._watched.add(response)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def discard(self, response: Response) -> None:
        self._watched.discard(response)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = time.monotonic()
        for response in [each for each in self._watched if each.until <= now]:
            response.overdue()
        alive = bool(self._watched)
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look) if alive else None
