"""What a model costs, by date: the published prices of genai-prices, or those of the configuration.

Unknown is `None`, never zero: also where a usage holds a class of tokens that has no price.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from penstock.config.prices import PriceSettings
from penstock.exchange import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

Processing = Literal["standard", "batch"]
"""How the provider worked: at once, or in a batch of its own. Calls that are made one by one are standard, those of
Penstock's batches too."""

FRESH_SECONDS = 900.0
"""Prices that depend on the time of day change on the half hour."""
MILLION = 1_000_000
BATCH = {"processing": "batch"}


class Rates(Struct, frozen=True, kw_only=True):
    """Nano-dollars for a million tokens of each class, an hour of audio, a thousand searches, and each request.

    `None` is unknown. They hold for requests with more than `above` tokens of input: beyond some lengths every
    token of a request is dearer.
    """

    above: int = -1
    input: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio_hour: int | None = None
    searches: int | None = None
    request: int = 0

    def cost(self, usage: Usage) -> int | None:
        """Nano-dollars, rounded; `None` where something that was used has no price, or is not counted."""
        total = self.request * MILLION
        if usage.input:
            if self.input is None:
                return None
            total += usage.input * self.input
        if usage.output:
            if self.output is None:
                return None
            total += usage.output * self.output
        if usage.cached_input or usage.cache_write or usage.reasoning:
            part = self._parts(usage)
            if part is None:
                return None
            total += part
        nanos = (total + MILLION // 2) // MILLION
        if usage.seconds or usage.searches or self.input is None:
            further = self._further(usage)
            return None if further is None else nanos + further
        return nanos

    def _parts(self, usage: Usage) -> int | None:
        """The classes of tokens that not every usage has, before they are divided by a million."""
        total = 0
        for count, rate in (
            (usage.cached_input, self.cached_input),
            (usage.cache_write, self.cache_write),
            (usage.reasoning, self.reasoning),
        ):
            if count:
                if rate is None:
                    return None
                total += count * rate
        return total

    def _further(self, usage: Usage) -> int | None:
        """What is not billed by the token."""
        if not usage.seconds and not usage.searches:
            return None
        total = 0.0
        for count, rate, unit in ((usage.seconds, self.audio_hour, 3600), (usage.searches, self.searches, 1000)):
            if count:
                if rate is None:
                    return None
                total += count * rate / unit
        return round(total)


class Price:
    """The price of one model at any date. `price_of` makes it."""

    def __init__(self, listed: ModelInfo | None, own: PriceSettings | None = None) -> None:
        self._listed = listed
        self._own = own
        self._until = self._since = 0.0
        self._rates: dict[Processing, tuple[Rates, ...]] = {}

    def cost_nanos(self, usage: Usage, now: float, processing: Processing = "standard") -> int | None:
        """Nano-dollars for a usage at `now` (seconds, UTC); `None` where the prices do not say."""
        rates = self._at(now, processing)
        if not rates:
            return None
        return (rates[0] if len(rates) == 1 else chosen(rates, usage.prompt_tokens)).cost(usage)

    def estimate_nanos(self, input_tokens: int, max_output: int, now: float | None = None) -> int | None:
        """The most that a request with such counts costs: none of it found in a cache, all of it written to one."""
        rates = self._at(time.time() if now is None else now, "standard")
        if not rates:
            return None
        rate = chosen(rates, input_tokens)
        read, written = max(rate.input or 0, rate.cache_write or 0), max(rate.output or 0, rate.reasoning or 0)
        if rate.input is None or (max_output and rate.output is None):
            return None
        return rate.request + -(-(input_tokens * read + max_output * written) // MILLION)

    def _at(self, now: float, processing: Processing) -> tuple[Rates, ...]:
        """The rates of that moment. Asking genai-prices takes 0.1 ms, so they are kept for a while."""
        if not self._since <= now < self._until:
            self._since = now - now % FRESH_SECONDS
            self._until = self._since + FRESH_SECONDS
            self._rates = {}
        found = self._rates.get(processing)
        if found is None:
            found = self._rates[processing] = self._look_up(datetime.fromtimestamp(now, UTC), processing)
        return found

    def _look_up(self, moment: datetime, processing: Processing) -> tuple[Rates, ...]:
        own = self._own
        if own is not None and (own.since is None or moment.date() >= own.since):
            return (own_rates(own, processing),)
        if self._listed is None:
            return ()
        if self._listed.id.endswith(":free"):
            return (FREE,)
        context = BATCH if processing == "batch" else None
        return listed_rates(self._listed.get_prices(moment, context))


class Priced(Protocol):
    """What tells a cost, and the most that one may be (`Price`, `Dearest`). Nano-dollars; `None` is unknown."""

    def cost_nanos(self, usage: Usage, now: float) -> int | None: ...

    def estimate_nanos(self, input_tokens: int, max_output: int) -> int | None: ...


class Dearest:
    """The price of a route before it has chosen: that of its dearest target, unknown where that of one is."""

    def __init__(self, prices: Iterable[Priced]) -> None:
        self._prices = tuple(prices)

    def cost_nanos(self, usage: Usage, now: float) -> int | None:
        return dearest(price.cost_nanos(usage, now) for price in self._prices)

    def estimate_nanos(self, input_tokens: int, max_output: int) -> int | None:
        return dearest(price.estimate_nanos(input_tokens, max_output) for price in self._prices)


def dearest(costs: Iterable[int | None]) -> int | None:
    most = 0
    for cost in costs:
        if cost is None:
            return None
        most = max(most, cost)
    return most


FREE = Rates(input=0, cached_input=0, cache_write=0, output=0, reasoning=0)


def chosen(rates: tuple[Rates, ...], input_tokens: int) -> Rates:
    """The rates for a request with so many tokens of input."""
    for each in reversed(rates):
        if input_tokens > each.above:
            return each
    return rates[0]


def own_rates(own: PriceSettings, processing: Processing) -> Rates:
    """The rates of a price in the configuration."""
    share = own.batch if processing == "batch" and own.batch is not None else 1.0

    def nanos(dollars: float | None) -> int | None:
        return None if dollars is None else round(Decimal(str(dollars)) * Decimal(str(share)) * 1_000_000_000)

    read = nanos(own.input)
    written = nanos(own.output)
    return Rates(
        input=read,
        cached_input=read if own.cached_input is None else nanos(own.cached_input),
        cache_write=read if own.cache_write is None else nanos(own.cache_write),
        output=written,
        reasoning=written if own.reasoning is None else nanos(own.reasoning),
        audio_hour=nanos(own.per_audio_hour),
        searches=nanos(own.per_thousand_searches),
    )


def listed_rates(price: ModelPrice) -> tuple[Rates, ...]:
    """The rates of a published price, one for each length of input where they change; none for an empty one."""
    from genai_prices.types import TieredPrices

    stored = {key: value for key, value in price.__dict__.items() if value is not None}
    if not stored:
        return ()
    starts = {tier.start for value in stored.values() if isinstance(value, TieredPrices) for tier in value.tiers}

    def rates(above: int) -> Rates:
        def nanos(*keys: str) -> int | None:
            value = next((stored[key] for key in keys if key in stored), None)
            if isinstance(value, TieredPrices):
                passed = [tier.price for tier in value.tiers if tier.start <= above]
                value = passed[-1] if passed else value.base
            return None if value is None else round(value * 1_000_000_000)

        return Rates(
            above=above,
            input=nanos("input_mtok"),
            cached_input=nanos("cache_read_mtok", "input_mtok"),
            cache_write=nanos("cache_write_mtok", "cache_write_5m_mtok", "input_mtok"),
            output=nanos("output_mtok"),
            reasoning=nanos("output_reasoning_mtok", "output_mtok"),
            audio_hour=nanos("input_audio_hours", "audio_hours"),
            searches=nanos("rerank_searches_kcount"),
            request=(nanos("requests_kcount") or 0) // 1000,
        )

    return tuple(rates(above) for above in (-1, *sorted(starts)))


def price_of(vendor: str, model: str, own: PriceSettings | None = None) -> Price | None:
    """The price of a vendor's model, `None` where it is not known. `vendor` is its id in genai-prices.

    `own` is the price that the configuration gives, and holds from its date. The first call reads all published
    prices, which takes a third of a second: make it at start.
    """
    listed: ModelInfo | None = None
    if vendor and (own is None or own.since is not None):
        from genai_prices.data_snapshot import get_snapshot

        try:
            listed = get_snapshot().find_provider_model(model, None, vendor, None)[1]
        except LookupError:
            listed = None
    if own is not None and own.per_gpu_hour is not None:
        return None
    return None if listed is None and own is None else Price(listed, own)
