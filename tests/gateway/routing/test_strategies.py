"""Which target is asked."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from support.routing import Flat, ask, target

from penstock.exchange import Exchange, Message, Parameters
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.strategies import (
    BOUND,
    by_prefix,
    cheapest,
    least_in_flight,
    opening_of,
    quicker_of_two,
    weighted,
)


def some(count: int, **fields: object) -> list[Backend]:
    return [target(f"t{number}", **fields) for number in range(count)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 1000))
def test_shares_follow_the_weights(weights: list[int], seed: int) -> None:
    backends = some(len(weights))
    for backend, weight in zip(backends, weights, strict=True):
        backend.weight = float(weight)
    rng = random.Random(seed)
    count = 2000
    seen = Counter(weighted(backends, rng).name for _ in range(count))
    for backend, weight in zip(backends, weights, strict=True):
        share = weight / sum(weights)
        spread = (share * (1 - share) / count) ** 0.5
        assert abs(seen[backend.name] / count - share) <= 6 * spread


def test_the_fewest_in_flight_for_its_weight() -> None:
    backends = some(3)
    for backend, running in zip(backends, (4, 1, 1), strict=True):
        backend.health.in_flight = running
    rng = random.Random(1)
    assert {least_in_flight(backends, rng).name for _ in range(50)} == {"t1", "t2"}
    backends[0].weight = 10.0
    assert least_in_flight(backends, rng).name == "t0"


def test_the_quicker_of_two_is_asked_and_the_slow_one_is_tried_again_later() -> None:
    slow, quick = some(2)
    slow.health.opened(2.0, 0.0)
    quick.health.opened(0.1, 0.0)
    rng = random.Random(2)
    assert {quicker_of_two([slow, quick], 0.0, rng).name for _ in range(20)} == {"t1"}
    quick.health.in_flight = 40
    assert {quicker_of_two([slow, quick], 0.0, rng).name for _ in range(20)} == {"t0"}, "it would wait longer there"
    quick.health.in_flight = 0
    for second in range(60):
        quick.health.opened(0.1, float(second))
    assert quicker_of_two([slow, quick], 60.0, rng).name == "t0", "what was slow a minute ago may not be"
    new = target("new")
    assert quicker_of_two([quick, new], 60.0, rng).name == "new"
    new.health.in_flight = 1
    assert quicker_of_two([quick, new], 60.0, rng).name == "t1", "not all at once to one that nobody knows"


def test_the_cheapest_whose_price_is_known() -> None:
    dear, cheap, unknown, own = some(4)
    dear.price, cheap.price = Flat(9), Flat(2)
    assert cheapest([unknown, dear, cheap], ask()).name == "t1"
    own.free = True
    assert cheapest([dear, cheap, own], ask()).name == "t3"
    own.price = Flat(5)
    assert cheapest([dear, cheap, own], ask(parameters=Parameters(max_tokens=5))).name == "t1"
    cheap.health.in_flight = dear.health.in_flight = 0
    twin = target("twin", price=Flat(2))
    cheap.health.in_flight = 1
    assert cheapest([cheap, twin], ask()).name == "twin"


def conversation(number: int, turns: int = 1, project: str = "p") -> Exchange:
    messages = [Message("system", "You help."), Message("user", f"question {number}")]
    for turn in range(turns - 1):
        messages += [Message("assistant", f"answer {turn}"), Message("user", f"and {turn}?")]
    return ask(messages=tuple(messages), project_id=project)


def test_a_conversation_stays_where_it_began() -> None:
    backends = some(4)
    seen: Counter[str] = Counter()
    for number in range(400):
        names = {by_prefix(backends, conversation(number, turns)).name for turns in (1, 2, 5)}
        assert len(names) == 1
        seen.update(names)
    assert min(seen.values()) > 60, seen
    left = [backend for backend in backends if backend.name != "t2"]
    for number in range(100):
        before = by_prefix(backends, conversation(number)).name
        if before != "t2":
            assert by_prefix(left, conversation(number)).name == before, "only those of the lost one move"
    assert opening_of(conversation(1, project="p")) != opening_of(conversation(1, project="q"))
    assert opening_of(ask(messages=(), prompt="a" * 2000)) == opening_of(ask(messages=(), prompt="a" * 3000))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=150), st.integers(2, 5))
def test_no_target_gets_more_than_its_bound(openings: list[int], count: int) -> None:
    """All the same or not: nobody has more than a quarter above its share in flight, rounded up."""
    backends = some(count)
    for total, opening in enumerate(openings, 1):
        chosen = by_prefix(backends, conversation(opening))
        chosen.health.in_flight += 1
        assert chosen.health.in_flight <= -(-BOUND * total // count)
