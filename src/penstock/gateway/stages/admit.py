"""How many at once: beyond the bound a request is refused at once, and told when to come back.

What nobody waits for (batches, evaluations, replays) is refused first, while there are still places for callers.
"""

from __future__ import annotations

from penstock.errors import Overloaded
from penstock.gateway.admission import Admission
from penstock.gateway.flight import Flight, Place, Stage
from penstock.gateway.meter import Meter


class Admit(Stage):
    """Counts the requests of callers; the calls of apps are part of their request.

    `running` are those of this configuration: the server may still have some of the one before.
    """

    runs_at: Place = "root"

    def __init__(self, admission: Admission, meter: Meter) -> None:
        self._admission = admission
        meter.in_flight = admission
        self.running = 0

    def inbound(self, flight: Flight) -> None:
        """Raises `Overloaded`."""
        admission = self._admission
        bound = admission.enter(flight.exchange.purpose)
        if bound:
            raise refusal(bound, admission)
        self.running += 1

    def end(self, flight: Flight) -> None:
        self.running -= 1
        self._admission.leave()


def refusal(bound: int, admission: Admission) -> Overloaded:
    seconds = admission.retry_after(bound)
    if bound < admission.limit:
        what = f"{admission.running} requests are in progress, and the last places are kept for interactive ones."
    else:
        what = f"{bound} requests are in progress, the most that this server takes at once."
    return Overloaded(
        what,
        hint=f"Try again in {seconds:.0f} s, or raise max_in_flight under [server] in penstock.toml.",
        retry_after=seconds,
    )
