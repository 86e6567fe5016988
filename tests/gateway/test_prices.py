"""What a call costs: by class of token, by date, by length, in a provider's batch, and unknown where it is."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Usage as ListedUsage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.config.prices import PriceSettings
from penstock.exchange import Usage
from penstock.gateway.prices import Price, price_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
TOKENS = st.integers(0, 300_000)
MODELS = [
    ("openai", "gpt-4.1-mini"),
    ("openai", "text-embedding-3-small"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-pro"),
    ("perplexity", "sonar"),
    ("deepseek", "deepseek-chat"),
]


def own(**changes: object) -> PriceSettings:
    return PriceSettings.model_validate(changes)


def known(vendor: str, model: str, own: PriceSettings | None = None) -> Price:
    price = price_of(vendor, model, own)
    assert price is not None
    return price


@pytest.mark.parametrize(("vendor", "model"), MODELS)
@given(input=TOKENS, cached=TOKENS, written=TOKENS, output=TOKENS, reasoning=TOKENS)
def test_a_cost_is_what_genai_prices_says(
    vendor: str, model: str, input: int, cached: int, written: int, output: int, reasoning: int
) -> None:
    provider, listed = get_snapshot().find_provider_model(model, None, vendor, None)
    if "embedding" in model:
        output = reasoning = 0
    usage = Usage(input, output, cached, reasoning, cache_write=written)
    there = ListedUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=usage.completion_tokens,
    )
    moment = datetime.fromtimestamp(NOW, UTC)
    expected = listed.calc_price(there, provider, genai_request_timestamp=moment).total_price * 10**9
    assert abs(known(vendor, model).cost_nanos(usage, NOW) - expected) <= Decimal("0.5")  # type: ignore[operator]


@given(parts=st.lists(st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS), min_size=1, max_size=5))
def test_disjoint_classes_add_up(parts: list[tuple[int, int, int, int, int]]) -> None:
    """No token is charged twice: the cost of a whole is the cost of its classes, each alone."""
    price = Price(None, own(input=1, cached_input=0.1, cache_write=1.25, output=4, reasoning=5))
    for input, cached, written, output, reasoning in parts:
        whole = price.cost_nanos(Usage(input, output, cached, reasoning, cache_write=written), NOW)
        alone = [
            Usage(input),
            Usage(0, 0, cached),
            Usage(0, cache_write=written),
            Usage(0, output),
            Usage(0, 0, reasoning=reasoning),
        ]
        assert whole == sum(price.cost_nanos(each, NOW) or 0 for each in alone)
        assert whole == input * 1000 + cached * 100 + written * 1250 + output * 4000 + reasoning * 5000


@pytest.mark.parametrize(
    ("vendor", "model", "usage"),
    [
        ("openai", "text-embedding-3-small", Usage(10, output=1)),
        ("openai", "whisper-1", Usage(100, output=20)),
        ("openai", "whisper-1", Usage(0)),
        ("openai", "gpt-4.1-mini", Usage(10, seconds=3.0)),
        ("openai", "gpt-4.1-mini", Usage(10, searches=1)),
        ("github-copilot", "gpt-4o", Usage(10, output=1)),
    ],
)
def test_what_has_no_price_is_unknown_and_not_free(vendor: str, model: str, usage: Usage) -> None:
    assert known(vendor, model).cost_nanos(usage, NOW) is None


def test_audio_and_searches_have_prices_of_their_own() -> None:
    assert known("openai", "whisper-1").cost_nanos(Usage(0, seconds=60.0), NOW) == 6_000_000
    rerank = Price(None, own(per_thousand_searches=2))
    assert rerank.cost_nanos(Usage(0, searches=3.0), NOW) == 6_000_000
    free = known("openrouter", "deepseek/deepseek-r1:free")
    assert free.cost_nanos(Usage(10, 10), NOW) == 0


def test_a_price_of_the_configuration_holds_from_its_day() -> None:
    price = known("openai", "gpt-4.1-mini", own(input=1, output=2, since=datetime(2026, 11, 20, tzinfo=UTC).date()))
    usage = Usage(1000, 100)
    assert price.cost_nanos(usage, NOW) == 1_200_000
    assert price.cost_nanos(usage, NOW - 86_400) == 560_000  # the published one: $0.40 and $1.60
    assert price.cost_nanos(usage, NOW) == 1_200_000


def test_a_long_prompt_is_dearer_for_all_of_it() -> None:
    price = known("google", "gemini-2.5-pro")
    assert price.cost_nanos(Usage(200_000, 1), NOW) == 200_000 * 1250 + 10_000
    assert price.cost_nanos(Usage(100_000, 1, cached_input=100_001), NOW) == 100_000 * 2500 + 100_001 * 250 + 15_000


def test_a_batch_of_the_provider_costs_what_the_provider_says() -> None:
    usage = Usage(1000, 100)
    for vendor, model in (("openai", "gpt-4.1-mini"), ("anthropic", "claude-haiku-4-5")):
        price = known(vendor, model)
        standard = price.cost_nanos(usage, NOW)
        assert standard is not None
        assert price.cost_nanos(usage, NOW, "batch") == standard // 2
    assert Price(None, own(input=1, output=2, batch=0.5)).cost_nanos(usage, NOW, "batch") == 600_000
    assert Price(None, own(input=1, output=2)).cost_nanos(usage, NOW, "batch") == 1_200_000


@given(input=TOKENS, output=TOKENS, cached=st.integers(0, 100), reasoning=st.integers(0, 100))
def test_a_reservation_is_never_less_than_the_cost(input: int, output: int, cached: int, reasoning: int) -> None:
    for vendor, model in (("anthropic", "claude-haiku-4-5"), ("google", "gemini-2.5-pro")):
        price = known(vendor, model)
        usage = Usage(input, output, cached, reasoning)
        reserved = price.estimate_nanos(usage.prompt_tokens, usage.completion_tokens, NOW)
        cost = price.cost_nanos(usage, NOW)
        assert reserved is not None
        assert cost is not None
        assert reserved >= cost


def test_a_model_that_nobody_lists_has_no_price() -> None:
    assert price_of("openai", "no-such-model") is None
    assert price_of("", "gpt-4.1-mini") is None
    assert price_of("", "llama", own(per_gpu_hour=2.5)) is None  # its provider says what a call cost


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "names at least one of input, output and per_gpu_hour"),
        ({"output": 1}, "what a call costs would stay unknown"),
        ({"input": 1, "per_gpu_hour": 2}, "cannot stand beside per_gpu_hour"),
        ({"input": 1, "gpus": 2}, "has no effect without per_gpu_hour"),
        ({"input": -1}, "greater than or equal to 0"),
        ({"input": 1, "batch": 2}, "less than or equal to 1"),
    ],
)
def test_a_price_that_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        own(**given)
