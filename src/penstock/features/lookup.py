"""All facts about the person who asks, looked up at the same time, each within its deadline."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from penstock.errors import PenstockError
from penstock.exchange import Exchange
from penstock.features.base import Asker, FeatureSource
from penstock.seams import Tracer

KEPT = 10_000
"""Facts of one source that are kept at most; those used longest ago are forgotten."""


class Terms(Struct, frozen=True, kw_only=True):
    """How a source is asked: seconds that a lookup may take, and that a fact is kept; what stands in its place."""

    deadline: float
    keep: float
    default: Any = None


class Fact(Struct, frozen=True):
    """A value and where it comes from; `reason` says why it is only the default."""

    value: Any
    how: str
    reason: str = ""


class Feature:
    """One source with its terms and what it said lately."""

    def __init__(self, source: FeatureSource, terms: Terms) -> None:
        self.source = source
        self._terms = terms
        self._kept: OrderedDict[Asker, tuple[float, Any]] = OrderedDict()

    @property
    def name(self) -> str:
        return self.source.name

    async def about(self, asker: Asker) -> Fact:
        """Never fails."""
        kept = self._kept.get(asker)
        if kept is not None and time.monotonic() < kept[0]:
            self._kept.move_to_end(asker)
            return Fact(kept[1], "kept")
        try:
            async with asyncio.timeout(self._terms.deadline):
                value = await self.source.fetch(asker)
        except TimeoutError:
            return Fact(self._terms.default, "default", f"no answer within {self._terms.deadline * 1000:g} ms")
        except PenstockError as error:
            return Fact(self._terms.default, "default", error.message)
        value = self._terms.default if value is None else value
        if self._terms.keep:
            self._kept[asker] = (time.monotonic() + self._terms.keep, value)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return Fact(value, "found")


class Features:
    """What prompts know as `features` (`seams.Facts`). Closing it closes the sources."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)

    async def about(self, exchange: Exchange) -> Mapping[str, Any]:
        """A value for each name; those without one, and without a default, are left out."""
        if exchange.tracer is None:
            return values_of(await self._look_up(exchange))
        return await self._traced(exchange, exchange.tracer)

    async def close(self) -> None:
        for feature in self._features:
            await feature.source.close()

    async def _look_up(self, exchange: Exchange) -> dict[str, Fact]:
        asker = Asker.of(exchange)
        facts = await asyncio.gather(*(feature.about(asker) for feature in self._features))
        return {feature.name: fact for feature, fact in zip(self._features, facts, strict=True)}

    async def _traced(self, exchange: Exchange, tracer: Tracer) -> Mapping[str, Any]:
        with tracer.span("features") as span:
            facts = await self._look_up(exchange)
            found = values_of(facts)
            failed = {name: fact.reason for name, fact in facts.items() if fact.reason}
            span.set(
                output=found,
                sources={name: fact.how for name, fact in facts.items()},
                failed=len(failed),
                kept=sum(fact.how == "kept" for fact in facts.values()),
            )
            if failed:
                reason = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
                span.set(**{"penstock.reason": reason})
            return found


def values_of(facts: Mapping[str, Fact]) -> dict[str, Any]:
    return {name: fact.value for name, fact in facts.items() if fact.value is not None}
