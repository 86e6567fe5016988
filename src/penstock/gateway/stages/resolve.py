"""Which target answers: the name in the request to a provider and its release."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.gateway.flight import Flight, Stage
from penstock.gateway.registry import Registry


class Resolve(Stage):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def inbound(self, flight: Flight) -> None:
        """An app's own calls keep its release. Raises `ModelNotFound`, `UnsupportedFeature` or `InvalidRequest`."""
        exchange = flight.exchange
        flight.target = target = self._registry.resolve(exchange.model, exchange.operation)
        if target.release_id:
            flight.exchange = replace(exchange, release_id=target.release_id)
