"""Identical calls share one: who gets what when somebody leaves, fails or reads slowly."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from support.gateway_site import model

from penstock.errors import DeadlineExceeded, Overloaded, UpstreamFailed
from penstock.exchange import Chunk, Exchange, Usage
from penstock.gateway.cache.single_flight import Listener, SingleFlight
from penstock.gateway.flight import Chunks, Flight
from penstock.testing import FakeProvider

END = Chunk(finish_reason="stop", usage=Usage(1, 2, cost_nanos=5))


async def nothing(flight: Flight) -> Chunks:
    yield Chunk()


def flight_to(provider: FakeProvider) -> Flight:
    flight = Flight(Exchange(id="1", trace_id="2"), (), nothing, is_root=True)
    flight.target = model(provider)
    return flight


class Group:
    """Flights to one provider that share a call."""

    def __init__(self, *steps: Any, max_bytes: int = 1 << 20) -> None:
        self.provider = FakeProvider(*steps)
        self.flights = SingleFlight(max_bytes)
        self.completed: list[Sequence[Chunk]] = []

    def lead(self) -> Listener:
        return self.flights.lead("key", flight_to(self.provider), lambda chunks: self.completed.append([*chunks]))

    def join(self) -> Listener:
        listener = self.flights.join("key", flight_to(self.provider))
        assert listener is not None
        return listener


async def text_of(listener: Listener) -> str:
    async with aclosing(listener):
        return "".join([chunk.text async for chunk in listener])


async def test_a_hundred_identical_requests_make_one_call() -> None:
    gate = asyncio.Event()
    group = Group("Hello", gate, " world")
    reading = [asyncio.ensure_future(text_of(group.lead()))]
    await group.provider.until(lambda it: it.running == 1)
    reading += [asyncio.ensure_future(text_of(group.join())) for _ in range(99)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*reading) == ["Hello world"] * 100
    assert len(group.provider.exchanges) == 1
    assert "key" not in group.flights
    assert [chunk.text for chunk in group.completed[0]] == ["Hello", " world", ""]


async def test_chunks_are_not_merged_and_come_as_they_are_made() -> None:
    gates = [asyncio.Event() for _ in range(3)]
    group = Group("a", gates[0], "b", gates[1], "c", gates[2])
    leader, follower = group.lead(), None
    assert (await anext(leader)).text == "a"
    follower = group.join()
    assert (await anext(follower)).text == "a"
    gates[0].set()
    assert [(await anext(each)).text for each in (leader, follower)] == ["b", "b"]
    gates[1].set()
    assert [(await anext(each)).text for each in (follower, leader)] == ["c", "c"]
    await leader.aclose()
    await follower.aclose()
    assert group.provider.left == 1


async def test_the_call_goes_on_when_the_one_who_asked_first_leaves() -> None:
    gate = asyncio.Event()
    group = Group("Hello", gate, " world", END)
    leader = group.lead()
    leaving = asyncio.ensure_future(text_of(leader))
    await group.provider.until(lambda it: it.running == 1)
    followers = [group.join(), group.join()]
    flights = [each.flight for each in (leader, *followers)]
    assert [each.cache for each in flights] == ["", "shared", "shared"]
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert [each.cache for each in flights] == ["shared", "", "shared"]
    gate.set()
    assert await asyncio.gather(*map(text_of, followers)) == ["Hello world"] * 2
    assert (len(group.provider.exchanges), group.provider.left) == (1, 0)
    assert len(group.completed) == 1


async def test_the_call_ends_when_nobody_listens_any_more() -> None:
    group = Group("Hello", asyncio.Event())
    leader = group.lead()
    await anext(leader)
    follower = group.join()
    await leader.aclose()
    assert group.provider.running == 1
    await follower.aclose()
    assert (group.provider.running, group.provider.left) == (0, 1)
    assert "key" not in group.flights
    assert group.completed == []


async def test_one_who_leaves_after_the_end_pays_for_the_whole_of_it() -> None:
    """The upstream has charged for what was generated, whether or not it was read."""
    group = Group("Hello", " world", END)
    leader = group.lead()
    await anext(leader)
    await group.provider.until(lambda it: it.running == 0)
    flight = leader.flight
    assert flight.usage is None
    await leader.aclose()
    assert (flight.usage, flight.cache) == (END.usage, "")


async def test_only_one_pays_whoever_leaves() -> None:
    """The cost of the call stands in the usage of one flight, and in that one only."""
    group = Group("Hello", END)
    leader, heir, other = group.lead(), group.join(), group.join()
    assert [(await anext(leader)).text, (await anext(heir)).text] == ["Hello", "Hello"]
    seen = [await anext(heir), await anext(other), await anext(other)]
    assert [chunk.usage and chunk.usage.cost_nanos for chunk in seen] == [0, None, 0]
    flight = heir.flight
    flight.usage = seen[0].usage
    await leader.aclose()
    assert (flight.cache, flight.usage) == ("", END.usage)
    await heir.aclose()
    await other.aclose()


async def test_a_listener_that_never_reads_holds_nobody() -> None:
    group = Group("Hello", END)
    leader = group.lead()
    idle = group.join()
    assert await text_of(leader) == "Hello"
    await idle.aclose()
    again = group.lead()
    await again.aclose()
    assert "key" not in group.flights


@pytest.mark.parametrize("steps", [[], ["Hello"]])
async def test_an_error_is_everybodys(steps: list[Any]) -> None:
    gate = asyncio.Event()
    group = Group(*steps, gate, UpstreamFailed("It broke."))
    reading = [asyncio.ensure_future(text_of(group.lead()))]
    await group.provider.until(lambda it: it.running == 1)
    reading += [asyncio.ensure_future(text_of(group.join())) for _ in range(9)]
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(*reading, return_exceptions=True)
    assert all(isinstance(each, UpstreamFailed) for each in found)
    assert len(group.provider.exchanges) == 1
    assert group.completed == []


async def test_an_error_of_one_caller_makes_the_others_call_again_together() -> None:
    gate = asyncio.Event()
    calls = iter([[gate, DeadlineExceeded("Too late for the first.")], ["Hello", END]])
    provider = FakeProvider(script=lambda exchange: next(calls))
    group = Group()
    group.provider = provider
    leader = asyncio.ensure_future(text_of(group.lead()))
    await provider.until(lambda it: it.running == 1)
    followers = [asyncio.ensure_future(text_of(group.join())) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(leader, *followers, return_exceptions=True)
    assert isinstance(found[0], DeadlineExceeded)
    assert found[1:] == ["Hello"] * 5
    assert len(provider.exchanges) == 2


async def test_a_slow_follower_holds_neither_the_call_nor_memory() -> None:
    gate = asyncio.Event()
    group = Group("x" * 1000, gate, *["x" * 1000] * 99, END, max_bytes=10_000)
    leader = group.lead()
    await anext(leader)
    slow = group.join()
    assert (await anext(slow)).text == "x" * 1000
    gate.set()
    assert len(await text_of(leader)) == 99_000
    with pytest.raises(Overloaded, match="read too slowly"):
        await text_of(slow)
    assert group.completed == []


async def test_a_slow_payer_is_waited_for_within_the_bound() -> None:
    produced = 0

    def script(exchange: Exchange) -> Any:
        nonlocal produced
        for _ in range(100):
            produced += 1
            yield "x" * 1000
        yield END

    group = Group(max_bytes=10_000)
    group.provider = FakeProvider(script=script)
    leader = group.lead()
    await anext(leader)
    for _ in range(300):
        await asyncio.sleep(0)
    assert produced < 15
    assert len(await text_of(leader)) == 99_000
    assert produced == 100


async def test_a_call_beyond_the_bound_is_not_joined() -> None:
    gate = asyncio.Event()
    group = Group(*["x" * 1000] * 20, gate, END, max_bytes=10_000)
    leader = group.lead()
    for _ in range(20):
        await anext(leader)
    assert group.flights.join("key", flight_to(group.provider)) is None
    gate.set()
    await text_of(leader)
    assert group.completed == []


async def test_a_failing_keeper_does_not_fail_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def broken(chunks: Sequence[Chunk]) -> None:
        raise OSError("no room")

    provider = FakeProvider("Hello", END)
    flights = SingleFlight(1000)
    assert await text_of(flights.lead("key", flight_to(provider), broken)) == "Hello"
    assert "an answer could not be cached" in caplog.text
