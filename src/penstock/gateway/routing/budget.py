"""One budget of further attempts for the whole process, so that retries never multiply an outage.

The share is of requests, as in Finagle's and Envoy's retry budgets; a small floor lets a quiet server retry at all.
"""

from __future__ import annotations

from penstock.clock import SYSTEM_CLOCK, Clock

SHARE = 0.1
FLOOR = 3
SECONDS = 10
"""The length of the sliding window, in buckets of one second."""


class RetryBudget:
    """Retries and hedges of all routes: within the last seconds at most `SHARE` of the requests, or `FLOOR`.

    A way on to a target or a model that is well is made whether there is budget or not (`spend`): what fails is
    left out after a few failures, so that it ends by itself. But it counts, and leaves less for the others.
    """

    __slots__ = ("_clock", "_extra", "_extras", "_requests", "_second", "_seen", "denied")

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._requests = [0] * SECONDS
        self._extras = [0] * SECONDS
        self._seen = 0
        self._extra = 0
        self._second = int(clock.monotonic())
        self.denied = 0

    def saw_request(self, now: float) -> None:
        """Counts a request; `now` is monotonic."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._requests[second % SECONDS] += 1
        self._seen += 1

    def take(self) -> bool:
        """Takes one further attempt out of the budget; false when there is none left."""
        second = int(self._clock.monotonic())
        self._turn(second)
        if self._extra + 1 > max(FLOOR, SHARE * self._seen):
            self.denied += 1
            return False
        self._count(second)
        return True

    def spend(self) -> None:
        """Counts a further attempt that is made in any case."""
        second = int(self._clock.monotonic())
        self._turn(second)
        self._count(second)

    @property
    def used(self) -> tuple[int, int]:
        """Further attempts and requests within the window."""
        self._turn(int(self._clock.monotonic()))
        return self._extra, self._seen

    def _count(self, second: int) -> None:
        self._extras[second % SECONDS] += 1
        self._extra += 1

    def _turn(self, second: int) -> None:
        """Empties the buckets of the seconds that are over."""
        passed = second - self._second
        if passed <= 0:
            return
        for past in range(self._second + 1, self._second + 1 + min(passed, SECONDS)):
            at = past % SECONDS
            self._seen -= self._requests[at]
            self._extra -= self._extras[at]
            self._requests[at] = self._extras[at] = 0
        self._second = second
