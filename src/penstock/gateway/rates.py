"""What a price comes to for a million tokens of each kind, as people compare it."""

from __future__ import annotations

import time

from msgspec import Struct

from penstock.exchange import Usage
from penstock.gateway.prices import Priced
from penstock.gateway.registry import Registry

TOKENS = 1_000
"""A usual request, so that where a long prompt has a price of its own it is not that one."""
PER_MILLION = 1_000_000 // TOKENS


class Rates(Struct, frozen=True):
    """Nano-dollars for a million tokens, at this moment; `None` where it is not known."""

    input: int | None
    cached_input: int | None
    output: int | None


def rates(price: Priced | None) -> Rates:
    usages = (Usage(TOKENS), Usage(0, cached_input=TOKENS), Usage(0, TOKENS))
    if price is None:
        return Rates(None, None, None)
    return Rates(*(per_million(price.cost_nanos(usage, time.time())) for usage in usages))


def per_million(nanos: int | None) -> int | None:
    return None if nanos is None else nanos * PER_MILLION


def input_rates(registry: Registry, model: str) -> tuple[int, int] | None:
    """What a million tokens of input cost at a model now, and such that are cached (`advice.Rates`)."""
    target = registry.find(model)
    found = rates(target.price if target is not None else None)
    return None if found.input is None or found.cached_input is None else (found.input, found.cached_input)
