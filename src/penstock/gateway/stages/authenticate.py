"""May who asks ask this: a key may be for some models only, and an app may be for some projects only."""

from __future__ import annotations

from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.flight import Flight, Place, Stage
from penstock.gateway.registry import Registry


class Authenticate(Stage):
    """What a caller may not ask does not exist for it. An app's own calls are not looked at: the app may."""

    runs_at: Place = "root"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def inbound(self, flight: Flight) -> None:
        """Raises `ModelNotFound`, naming only what the caller may ask."""
        exchange = flight.exchange
        principal = exchange.principal
        if not principal.models and principal.project_id == LOCAL_PROJECT:
            return
        target = self._registry.find(exchange.model)
        if target is None or exchange.operation not in target.operations or not target.open_to(principal):
            self._registry.open_to(principal).resolve(exchange.model, exchange.operation)
