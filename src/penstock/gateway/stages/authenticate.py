"""Who asks. In local mode that is whoever can reach this machine's loopback address: there are no keys yet."""

from __future__ import annotations

from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.flight import Flight, Place, Stage


class Authenticate(Stage):
    """Local mode: every exchange belongs to the one project, whatever key it came with."""

    runs_at: Place = "root"

    async def inbound(self, flight: Flight) -> None:
        if flight.exchange.project_id != LOCAL_PROJECT:
            flight.exchange = flight.exchange.replace(project_id=LOCAL_PROJECT)
