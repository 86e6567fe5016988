"""Whether the target can do what is asked: what it cannot is an error that names it, never dropped in silence."""

from __future__ import annotations

from penstock.gateway.flight import Flight, Stage
from penstock.models.dialects.features import droppable, unmet, without
from penstock.models.dialects.needs import unsupported

DROPPED = b"x-penstock-dropped"
"""The header that names what was left out of a request."""


class Features(Stage):
    """Refuses what the target cannot do, or leaves it out where the target is set to that, and says so."""

    def inbound(self, flight: Flight) -> None:
        """Raises `UnsupportedFeature`."""
        target = flight.target
        assert target is not None
        lacking = unmet(flight.exchange, target)
        if not lacking:
            return
        for need in lacking:
            if not target.drop_unsupported or not droppable(need):
                raise unsupported(repr(target.name), need)
        flight.exchange = without(flight.exchange, lacking)
        dropped = ", ".join(sorted({need.feature for need in lacking}))
        flight.headers.append((DROPPED, dropped.encode("ascii", "replace")))
