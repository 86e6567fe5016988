"""A second attempt beside a slow one."""

import asyncio

import pytest
from support.grounding import RecordingTracer
from support.routing import Flat, Stage, ask, asked, failure, said, target

from penstock.errors import UpstreamFailed
from penstock.gateway.routing.backend import Backend
from penstock.testing import FakeProvider


def provider(backend: Backend) -> FakeProvider:
    assert isinstance(backend.provider, FakeProvider)
    return backend.provider


async def test_the_second_wins_where_the_first_is_slow_and_the_first_is_cancelled() -> None:
    stage = Stage()
    tracer = RecordingTracer()
    slow, quick = target("slow", asyncio.Event(), weight=1e9, price=Flat(4)), target("quick")
    route = stage.route(slow, quick, hedge_after=0.5)
    assert await said(route, ask("x" * 40, tracer=tracer)) == "quick"
    assert (stage.waits, route.counts.hedges) == ([0.5], 1)
    assert (provider(slow).running, provider(slow).left) == (0, 1)
    assert (slow.health.in_flight, quick.health.in_flight) == (0, 0)
    assert slow.health.failures.total() == 0, "slow is not failed"
    assert stage.process.budget.used == (1, 1)
    (hedge,) = tracer.spans
    assert (hedge.name, hedge.attributes["penstock.reason"]) == ("attempt quick", "hedge")


async def test_the_first_wins_when_it_comes_first_and_the_losers_cost_is_an_estimate() -> None:
    stage = Stage()
    tracer = RecordingTracer()
    going = asyncio.Event()
    slow, other = target("slow", going, "slow", weight=1e9), target("other", asyncio.Event(), price=Flat(4))
    route = stage.route(slow, other, hedge_after=0.5)
    asking = asyncio.ensure_future(said(route, ask("x" * 40, tracer=tracer)))
    await provider(other).until(lambda it: it.running == 1)
    going.set()
    assert await asking == "slow"
    assert provider(other).left == 1
    (hedge,) = tracer.spans
    assert hedge.attributes["penstock.hedge"] == "lost"
    assert hedge.attributes["usage"].estimated
    assert hedge.attributes["usage"].cost_nanos == 40


async def test_an_answer_in_time_is_not_hedged() -> None:
    stage = Stage()
    never = asyncio.Event()

    async def wait(seconds: float) -> None:
        await never.wait()

    stage.process.sleep = wait
    route = stage.route(target("a", "a"), target("b", "b"), hedge_after=0.5)
    for _ in range(5):
        await said(route)
    assert route.counts.hedges == 0
    assert sum(map(asked, route.backends)) == 5


@pytest.mark.parametrize("first_fails", [True, False])
async def test_one_that_fails_leaves_the_race_to_the_other(first_fails: bool) -> None:
    stage = Stage()
    gates = [asyncio.Event(), asyncio.Event()]
    bad, good = target("bad", gates[0], failure()), target("good", gates[1], "good")
    first, second = (bad, good) if first_fails else (good, bad)
    first.weight = 1e9
    route = stage.route(first, second, hedge_after=0.5)
    asking = asyncio.ensure_future(said(route))
    await provider(second).until(lambda it: it.running == 1)
    gates[0].set()
    await provider(bad).until(lambda it: it.running == 0)
    gates[1].set()
    assert await asking == "good"
    assert bad.health.failures == {"server_error": 1}
    assert (bad.health.in_flight, good.health.in_flight) == (0, 0)


async def test_when_both_fail_the_route_goes_on() -> None:
    stage = Stage()
    gate = asyncio.Event()
    one, two = target("one", gate, failure("connection"), weight=1e9), target("two", gate, failure("overloaded"))
    route = stage.route(one, two, hedge_after=0.5, retries=0)
    asking = asyncio.ensure_future(said(route))
    await provider(two).until(lambda it: it.running == 1)
    gate.set()
    with pytest.raises(UpstreamFailed):
        await asking
    assert (one.health.in_flight, two.health.in_flight) == (0, 0)
    assert one.health.failures.total() == two.health.failures.total() == 1
    route.lead((stage.route(target("backup")),), None, None)
    assert await said(route) == "backup"


async def test_without_budget_or_another_target_it_waits_for_the_first() -> None:
    stage = Stage()
    while stage.process.budget.take():
        pass
    going = asyncio.Event()
    slow, other = target("slow", going, "slow", weight=1e9), target("other")
    route = stage.route(slow, other, hedge_after=0.5)
    asking = asyncio.ensure_future(said(route))
    await provider(slow).until(lambda it: it.running == 1)
    going.set()
    assert await asking == "slow"
    assert asked(other) == 0


async def test_a_client_that_leaves_cancels_both() -> None:
    stage = Stage()
    one, two = target("one", asyncio.Event(), weight=1e9), target("two", asyncio.Event())
    route = stage.route(one, two, hedge_after=0.5)
    asking = asyncio.ensure_future(said(route))
    await provider(two).until(lambda it: it.running == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    for each in (one, two):
        assert (provider(each).running, provider(each).left, each.health.in_flight) == (0, 1, 0)


async def test_a_winner_that_breaks_off_is_not_replaced() -> None:
    stage = Stage()
    slow, quick = target("slow", asyncio.Event(), weight=1e9), target("quick", "He", failure("connection"))
    route = stage.route(slow, quick, hedge_after=0.5)
    with pytest.raises(UpstreamFailed) as caught:
        await said(route)
    assert caught.value.kind == "broken_stream"
    assert asked(slow) == 1
