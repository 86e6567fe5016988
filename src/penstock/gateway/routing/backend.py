"""One physical target: a provider, what it can do and costs, and how it is."""

from __future__ import annotations

import time

import msgspec

from penstock.exchange import Chunk, Operation, Usage
from penstock.gateway.prices import Priced
from penstock.gateway.routing.health import Health
from penstock.seams import Provider


class Backend:
    """One target of a route.

    `name` is "vendor/model" or a model of the catalog. `features`, `forwards` and `lacks` say what it can do
    (`dialects.features.Able`). `limit` is how many requests it may answer at once. `free` says that nobody charges
    for it, so that it counts as the cheapest where its price is not known.
    """

    __slots__ = (
        "features",
        "forwards",
        "free",
        "health",
        "lacks",
        "limit",
        "name",
        "operations",
        "price",
        "provider",
        "weight",
    )

    def __init__(
        self, name: str, provider: Provider, operations: frozenset[Operation], *, health: Health | None = None
    ) -> None:
        self.name = name
        self.provider = provider
        self.operations = operations
        self.health = health or Health()
        self.features: frozenset[str] | None = frozenset()
        self.forwards: frozenset[str] = frozenset()
        self.lacks: frozenset[str] = frozenset()
        self.price: Priced | None = None
        self.weight = 1.0
        self.limit: int | None = None
        self.free = False

    @property
    def full(self) -> bool:
        return self.limit is not None and self.health.in_flight >= self.limit

    def priced(self, chunk: Chunk) -> Chunk:
        """A chunk with usage, and what that costs here. A cost that the vendor itself named stays."""
        usage = chunk.usage
        if usage is None or usage.cost_nanos is not None or self.price is None:
            return chunk
        return msgspec.structs.replace(chunk, usage=self.charged(usage))

    def charged(self, usage: Usage) -> Usage:
        """A usage with its cost, where that is known."""
        if self.price is None:
            return usage
        return msgspec.structs.replace(usage, cost_nanos=self.price.cost_nanos(usage, time.time()))
