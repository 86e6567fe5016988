"""Which target answers: the name in the request to a provider and its release."""

from __future__ import annotations

from penstock.gateway.flight import Flight, Stage
from penstock.gateway.registry import Registry


class Resolve(Stage):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def inbound(self, flight: Flight) -> None:
        """An app's own calls keep its release. Raises `ModelNotFound`, `UnsupportedFeature` or `InvalidRequest`."""
        exchange = flight.exchange
        flight.target = self._registry.resolve(exchange.model, exchange.operation)
        flight.exchange = exchange.replace(release_id=flight.target.release_id or exchange.release_id)
