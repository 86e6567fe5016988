"""Whether the target can do what is asked: what it cannot is an error that names it, never dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.errors import UnsupportedFeature
from penstock.exchange import Exchange
from penstock.gateway.flight import Flight, Stage
from penstock.models.dialects.openai.features import Need, needed


class Features(Stage):
    async def inbound(self, flight: Flight) -> None:
        """Raises `UnsupportedFeature`."""
        target = flight.target
        assert target is not None
        if target.features is None:
            return
        for need in needs(flight.exchange):
            if need.feature not in target.features:
                raise UnsupportedFeature(
                    f"{target.name!r} does not support {need.feature}, which {need.param!r} asks for.",
                    hint="Leave it out, or name a model that supports it.",
                    param=need.param,
                )


def needs(exchange: Exchange) -> Iterator[Need]:
    if exchange.dialect == "openai":
        yield from needed(exchange.body, exchange.operation)
        return
    if exchange.parameters.constraint is not None:
        yield Need("response_format", "response_format")
    if exchange.parameters.logprobs:
        yield Need("logprobs", "logprobs")
