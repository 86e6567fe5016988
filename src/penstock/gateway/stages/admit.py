"""How many at once: beyond the bound a request is refused at once, and told when to come back."""

from __future__ import annotations

from penstock.errors import Overloaded
from penstock.gateway.flight import Flight, Place, Stage
from penstock.gateway.meter import Meter

RETRY_AFTER = 1.0


class Admit(Stage):
    """Lets at most `limit` requests of callers be in flight. The calls of apps are part of their request."""

    runs_at: Place = "root"

    def __init__(self, limit: int, meter: Meter) -> None:
        self._limit = limit
        self._meter = meter
        self._running = 0

    async def inbound(self, flight: Flight) -> None:
        if self._running >= self._limit:
            raise Overloaded(
                f"{self._limit} requests are in progress, the most that this server takes at once.",
                hint="Try again in a second, or raise max_in_flight under [server] in penstock.toml.",
                retry_after=RETRY_AFTER,
            )
        self._running += 1
        self._meter.in_flight = self._running

    def end(self, flight: Flight) -> None:
        self._running -= 1
        self._meter.in_flight = self._running
