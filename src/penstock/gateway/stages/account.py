"""What was used, and what it cost where that is known."""

from __future__ import annotations

import time

import msgspec

from penstock.gateway.flight import Chunks, Flight, Place, Stage
from penstock.gateway.meter import Meter
from penstock.gateway.registry import Target


class Account(Stage):
    """Adds the cost to the usage of a model call, and counts its tokens. Only leaves are charged."""

    runs_at: Place = "leaf"

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        assert flight.target is not None
        return chunks if flight.target.price is None else priced(flight.target, chunks)

    def end(self, flight: Flight) -> None:
        if flight.usage is not None and flight.target is not None:
            self._meter.count_tokens(flight.target.name, flight.usage)


async def priced(target: Target, chunks: Chunks) -> Chunks:
    assert target.price is not None
    async for chunk in chunks:
        if chunk.usage is None:
            yield chunk
        else:
            cost = target.price.cost_nanos(chunk.usage, time.time())
            usage = msgspec.structs.replace(chunk.usage, cost_nanos=cost)
            yield msgspec.structs.replace(chunk, usage=usage)
