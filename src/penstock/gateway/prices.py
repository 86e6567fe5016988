"""What a remote model costs, from the dated prices of genai-prices; unknown is `None`, never zero."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from penstock.exchange import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

logger = logging.getLogger(__name__)

HOUR = 3600.0
Rates = tuple[int, int, int]


PROBE = Usage(input=30_011, cached_input=7_001, output=2_003)


class Price:
    """The price of one model.

    Asking genai-prices takes 0.1 ms, so flat prices are turned into rates once an hour, and used as long as they
    give what it says; prices in tiers are asked for every time.
    """

    def __init__(self, vendor: Provider, model: ModelInfo) -> None:
        self._vendor = vendor
        self._model = model
        self._rates: Rates | None = None
        self._hour = -1.0

    def cost_nanos(self, usage: Usage, now: float) -> int | None:
        """Nano-dollars for a usage at `now` (seconds, UTC); `None` where the prices do not say."""
        if now // HOUR != self._hour:
            self._hour = now // HOUR
            rates = self._flat(now)
            self._rates = rates if rates and cost(rates, PROBE) == self._asked(PROBE, now) else None
        return cost(self._rates, usage) if self._rates else self._asked(usage, now)

    def _flat(self, now: float) -> Rates | None:
        """Nano-dollars per token of input, cached input and output; `None` where they depend on more."""
        price = self._model.get_prices(datetime.fromtimestamp(now, UTC))
        rates = (price.input_mtok, price.cache_read_mtok or price.input_mtok, price.output_mtok)
        per_token = [int(rate * 1000) for rate in rates if isinstance(rate, Decimal) and rate * 1000 % 1 == 0]
        return (per_token[0], per_token[1], per_token[2]) if len(per_token) == 3 else None

    def _asked(self, usage: Usage, now: float) -> int | None:
        from genai_prices import types

        counted = types.Usage(
            input_tokens=usage.prompt_tokens,
            cache_read_tokens=usage.cached_input or 0,
            output_tokens=usage.completion_tokens,
        )
        try:
            found = self._model.calc_price(
                counted, self._vendor, genai_request_timestamp=datetime.fromtimestamp(now, UTC)
            )
        except (LookupError, ValueError) as error:
            logger.debug("no price of %s: %s", self._model.id, error)
            return None
        return int(found.total_price * 1_000_000_000)


def cost(rates: Rates, usage: Usage) -> int:
    cached = usage.cached_input or 0
    return usage.input * rates[0] + cached * rates[1] + usage.completion_tokens * rates[2]


def price_of(vendor: str, model: str) -> Price | None:
    """The price of a vendor's model, `None` where it is not known. `vendor` is its id in genai-prices.

    The first call reads all prices, which takes a third of a second: make it at start.
    """
    if not vendor:
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        return Price(*get_snapshot().find_provider_model(model, None, vendor, None))
    except LookupError:
        return None
