"""Deadlines of all waits, looked at by one timer: a timer for every wait would cost more than the wait is worth."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.net.exchange import Connection

TICK = 0.025
"""Seconds; a wait ends at most this much after its deadline."""


class Watch:
    """The connections of a client. Its timer runs only while one of them is in use; who uses one starts it."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.runs = False

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)

    def discard(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def start(self) -> None:
        self.runs = True
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.runs = False

    def _look(self) -> None:
        now = time.monotonic()
        used = [each.response for each in self._connections if each.response is not None]
        for response in used:
            if response.until <= now:
                response.overdue()
        if used:
            self.start()
        else:
            self.close()
