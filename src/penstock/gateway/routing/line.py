"""Who waits for a place at the targets of a model, and who is told at once that waiting would be in vain.

The wait is predicted from how long requests take there and how many are ahead: whoever would still be waiting when
its time is over is refused on arrival, and not by a timeout. What nobody waits for stands behind callers, and
leaves the line first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

WEIGHT = 0.1
"""Of the newest service time in the moving average."""


class Waiter:
    """A request in line, until when it may wait on the monotonic clock of its route."""

    __slots__ = ("place", "until")

    def __init__(self, place: asyncio.Future[bool], until: float) -> None:
        self.place = place
        self.until = until


class Line:
    """The line of one model; like its targets' health it outlives a reload. Times are seconds.

    `service` is the moving average of how long a request holds a place, 0 before the first. `shed` counts those who
    were refused because they would have waited too long.
    """

    __slots__ = ("_background", "_callers", "places", "service", "shed")

    def __init__(self) -> None:
        self._callers: deque[Waiter] = deque()
        self._background: deque[Waiter] = deque()
        self.places = 1
        self.service = 0.0
        self.shed = 0

    def __len__(self) -> int:
        return len(self._callers) + len(self._background)

    def served(self, seconds: float) -> None:
        """A request has given its place back after so long."""
        self.service = self.service + (seconds - self.service) * WEIGHT if self.service else seconds

    def predicted(self, *, background: bool) -> float:
        """How long the next one would wait."""
        ahead = len(self) if background else len(self._callers)
        return (ahead + 1) * self.service / self.places

    async def wait(self, now: float, seconds: float, *, background: bool) -> bool:
        """Waits for a place; false where there will be none within `seconds`."""
        if self.predicted(background=background) > seconds:
            self.shed += 1
            return False
        line = self._background if background else self._callers
        waiter = Waiter(asyncio.get_running_loop().create_future(), now + seconds)
        line.append(waiter)
        if not background:
            self._thin_out(now)
        try:
            async with asyncio.timeout(seconds):
                return await waiter.place
        except TimeoutError:
            return given(waiter)
        except asyncio.CancelledError:
            if given(waiter):
                self.wake()
            raise
        finally:
            with contextlib.suppress(ValueError):
                line.remove(waiter)

    def wake(self) -> None:
        """Tells the first that waits that there is a place."""
        for line in (self._callers, self._background):
            while line:
                place = line.popleft().place
                if not place.done():
                    place.set_result(True)
                    return

    def _thin_out(self, now: float) -> None:
        """Refuses those at the end of the line who would wait in vain, now that a caller stands before them."""
        while self._background and len(self) * self.service / self.places > self._background[-1].until - now:
            waiter = self._background.pop()
            if not waiter.place.done():
                waiter.place.set_result(False)
                self.shed += 1


def given(waiter: Waiter) -> bool:
    """Whether a place was given at the very moment at which the waiter left."""
    return waiter.place.done() and not waiter.place.cancelled() and waiter.place.result()
