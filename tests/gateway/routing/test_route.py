"""What a request meets on its route: retries, fallbacks, places, deadlines, and how a broken answer ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.grounding import RecordingTracer
from support.routing import Flat, Stage, answer, ask, asked, failure, said, target, turns

from penstock.errors import (
    ConfigError,
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineStopped,
    FailureKind,
    InvalidRequest,
    Overloaded,
    PenstockError,
    Unavailable,
    UnsupportedFeature,
    UpstreamFailed,
    UpstreamTimeout,
)
from penstock.exchange import Chunk, Exchange, Parameters, Usage
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.health import EjectRule
from penstock.gateway.routing.kinds import kind_of
from penstock.gateway.routing.policy import LONGEST_WAIT
from penstock.testing import FakeProvider

OPENING = Chunk(raw=b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')


async def test_one_target_is_passed_through() -> None:
    stage = Stage()
    route = stage.route(target("a", "Hel", "lo", price=Flat(10)))
    chunks = await answer(route, ask("one two three"))
    assert "".join(chunk.text for chunk in chunks) == "Hello"
    assert chunks[-1].usage == Usage(3, 2, cost_nanos=50)
    assert all(chunk.served_by is None for chunk in chunks), "there was nothing to choose"
    (backend,) = route.backends
    assert (backend.health.in_flight, backend.health.attempts, backend.health.successes) == (0, 1, 1)
    assert route.process.budget.used == (0, 1)


async def test_the_first_chunk_says_who_answers_and_each_has_its_own_price() -> None:
    stage = Stage()
    route = stage.route(target("a", price=Flat(1)), target("b", price=Flat(100)))
    costs = {}
    for _ in range(30):
        chunks = await answer(route)
        assert [chunk.served_by for chunk in chunks] == [chunks[0].text, None]
        assert chunks[-1].usage is not None
        costs[chunks[0].text] = chunks[-1].usage.cost_nanos
    assert costs == {"a": 2, "b": 200}


async def test_a_cost_that_the_vendor_names_stays() -> None:
    chunk = Chunk(text="a", finish_reason="stop", usage=Usage(1, 1, cost_nanos=7))
    (chunk,) = await answer(Stage().route(target("a", chunk, price=Flat(1))))
    assert chunk.usage is not None and chunk.usage.cost_nanos == 7


async def test_a_failure_is_retried_at_another_target_at_once() -> None:
    stage = Stage()
    route = stage.route(target("bad", failure(), weight=1e9), target("good"))
    assert await said(route) == "good"
    assert stage.waits == []
    assert (route.counts.retries, route.process.budget.used) == (1, (1, 1))
    assert route.backends[0].health.failures == {"server_error": 1}


async def test_at_the_same_target_after_a_random_while_that_grows() -> None:
    stage = Stage()
    stage.busy()
    route = stage.route(turns("a", [failure()], [failure()], ["done"]))
    assert await said(route) == "done"
    first, second = stage.waits
    assert 0 <= first <= 0.25 and 0 <= second <= 0.5
    route = stage.route(target("b", failure("timeout")), retries=2)
    with pytest.raises(UpstreamFailed, match="timeout"):
        await said(route)
    assert asked(route.backends[0]) == 3


@pytest.mark.parametrize("kind", ["bad_request", "context_length", "content_filter", "auth"])
async def test_what_will_not_pass_is_not_tried_again(kind: FailureKind) -> None:
    route = Stage().route(target("a", failure(kind)))
    with pytest.raises(UpstreamFailed):
        await said(route)
    assert asked(route.backends[0]) == 1


async def test_a_key_that_is_refused_goes_to_a_target_with_another() -> None:
    stage = Stage()
    assert await said(stage.route(target("bad", failure("auth"), weight=1e9), target("good"))) == "good"


async def test_a_pause_that_is_asked_for_is_made() -> None:
    stage = Stage()
    route = stage.route(turns("a", [failure("rate_limit", retry_after=7.0)], ["done"]))
    assert await said(route) == "done"
    assert 7.0 <= stage.waits[0] <= 7.25


async def test_a_pause_beyond_the_deadline_is_told_to_the_client() -> None:
    stage = Stage()
    route = stage.route(target("a", failure("rate_limit", retry_after=7.0)))
    with pytest.raises(UpstreamFailed) as caught:
        await said(route, ask(deadline=stage.clock.monotonic() + 5))
    assert (caught.value.retry_after, stage.waits) == (7.0, [])
    with pytest.raises(UpstreamFailed):
        await said(stage.route(target("b", failure("rate_limit", retry_after=LONGEST_WAIT + 1))))
    assert stage.waits == []


async def test_one_that_asked_for_a_pause_is_left_out_until_it_is_over() -> None:
    stage = Stage()
    stage.busy()
    route = stage.route(turns("a", [failure("rate_limit", retry_after=7.0)], ["a"]), target("b"))
    route.backends[0].weight = 1e9
    assert [await said(route) for _ in range(3)] == ["b", "b", "b"]
    stage.clock.advance(7.1)
    assert await said(route) == "a"


async def test_without_budget_nothing_is_retried() -> None:
    stage = Stage()
    route = stage.route(target("a", failure()), retries=5)
    for _ in range(10):
        with pytest.raises(UpstreamFailed):
            await said(route)
    assert asked(route.backends[0]) == 10 + 3
    assert stage.process.budget.denied > 0


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "timeout", "connection", "server_error", "auth"])
async def test_another_model_is_asked_when_this_one_does_not_answer(kind: FailureKind) -> None:
    stage = Stage()
    route = stage.route(target("a", failure(kind)), retries=0)
    other = stage.route(target("b", price=Flat(3)), name="other")
    route.lead((other,), None, None)
    chunks = await answer(route)
    assert (chunks[0].text, chunks[0].served_by) == ("b", "b")
    assert chunks[-1].usage is not None and chunks[-1].usage.cost_nanos == 6
    assert route.counts.fallbacks == 1


async def test_only_after_the_kinds_that_were_chosen() -> None:
    stage = Stage()
    route = stage.route(target("a", failure("server_error")), retries=0, fallback_on=frozenset({"content_filter"}))
    route.lead((stage.route(target("b")),), None, None)
    with pytest.raises(UpstreamFailed, match="server_error"):
        await said(route)
    route.backends[0].provider = FakeProvider(failure("content_filter"))
    assert await said(route) == "b"


async def test_a_long_pause_is_not_made_where_another_model_can_answer() -> None:
    stage = Stage()
    route = stage.route(target("a", failure("rate_limit", retry_after=7.0)))
    route.lead((stage.route(target("b")),), None, None)
    assert await said(route) == "b"
    assert stage.waits == []


async def test_the_next_of_the_chain_and_then_the_error_of_the_model_itself() -> None:
    stage = Stage()
    route = stage.route(target("a", failure("connection")), retries=0)
    second = stage.route(target("b", failure("auth")), retries=0)
    third = stage.route(target("c"))
    route.lead((second, third), None, None)
    assert await said(route) == "c"
    third.backends[0].provider = FakeProvider(failure("bad_request"))
    with pytest.raises(UpstreamFailed, match="connection"):
        await said(route)


async def test_a_request_that_is_too_long_goes_to_the_longer_model() -> None:
    stage = Stage()
    too_long = ContextLengthExceeded("The prompt has 9,000 tokens, and the context 8,192.")
    route = stage.route(target("a", too_long))
    other = stage.route(target("b"))
    route.lead((other,), stage.route(target("long")), None)
    assert await said(route) == "long"
    assert (asked(other.backends[0]), route.counts.longer) == (0, 1)
    route.backends[0].provider = FakeProvider(failure("context_length"))
    assert await said(route) == "long"
    route.lead((), None, None)
    with pytest.raises(UpstreamFailed, match="context_length"):
        await said(route)


async def test_an_answer_that_breaks_ends_there_with_an_honest_usage() -> None:
    stage = Stage()
    stage.busy()
    route = stage.route(target("a", "Twelve chars", UpstreamTimeout("silence", kind="timeout"), price=Flat(10)))
    other = stage.route(target("b"))
    route.lead((other,), None, None)
    chunks = []
    with pytest.raises(UpstreamFailed) as caught:
        async for chunk in route.answer(ask("x" * 40)):
            chunks.append(chunk)
    assert caught.value.kind == "broken_stream"
    assert [chunk.text for chunk in chunks] == ["Twelve chars", ""]
    assert chunks[-1].usage == Usage(10, 3, estimated=True, cost_nanos=130)
    assert (asked(route.backends[0]), asked(other.backends[0])) == (1, 0)
    assert route.backends[0].health.in_flight == 0


async def test_usage_that_was_counted_before_the_break_is_kept() -> None:
    begin = Chunk(usage=Usage(100, 1, cached_input=50))
    route = Stage().route(target("a", begin, "x" * 400, failure("connection")))
    chunks = []
    with pytest.raises(UpstreamFailed):
        async for chunk in route.answer(ask()):
            chunks.append(chunk)
    assert chunks[-1].usage == Usage(100, 100, cached_input=50, estimated=True)


async def test_errors_of_local_engines_keep_their_words_when_an_answer_breaks() -> None:
    route = Stage().route(target("a", "He", EngineStopped("The engine stopped.")))
    with pytest.raises(EngineStopped):
        await said(route)


async def test_an_opening_without_content_may_be_followed_by_another_target() -> None:
    """The caller sees one opening, and the answer of one target only."""
    stage = Stage()
    route = stage.route(target("a", OPENING, failure("overloaded"), weight=1e9), target("b", OPENING, "all"))
    chunks = await answer(route)
    assert [chunk.raw is not None for chunk in chunks] == [True, False, False]
    assert "".join(chunk.text for chunk in chunks) == "all"
    assert [chunk.served_by for chunk in chunks] == ["a", "b", None]


async def test_bytes_that_are_not_understood_are_content() -> None:
    stage = Stage()
    audio = Chunk(raw=b'{"choices":[{"delta":{"audio":{"data":"AA"}}}]}')
    route = stage.route(target("a", audio, failure("overloaded"), weight=1e9), target("b"))
    with pytest.raises(UpstreamFailed) as caught:
        await said(route)
    assert caught.value.kind == "broken_stream"
    assert asked(route.backends[1]) == 0


class Odd:
    """A provider with a bug."""

    name = "odd"

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        raise ZeroDivisionError
        yield Chunk()

    async def close(self) -> None:
        pass


async def test_a_bug_is_not_retried_and_gives_its_place_back() -> None:
    route = Stage().route(target("a", provider=Odd()))
    with pytest.raises(ZeroDivisionError):
        await said(route)
    health = route.backends[0].health
    assert (health.in_flight, health.failures) == (0, {"server_error": 1})


async def test_a_client_that_leaves_cancels_the_work_and_is_no_failure() -> None:
    route = Stage().route(target("a", "He", asyncio.Event()))
    (backend,) = route.backends
    async with aclosing(route.answer(ask())) as chunks:
        assert (await anext(chunks)).text == "He"
        assert backend.health.in_flight == 1
    assert (backend.health.in_flight, backend.health.failures.total(), backend.health.successes) == (0, 0, 0)
    assert isinstance(backend.provider, FakeProvider)
    assert (backend.provider.running, backend.provider.left) == (0, 1)


async def test_a_target_that_always_fails_is_left_out_and_probed() -> None:
    stage = Stage()
    stage.busy()
    bad = target("bad", failure("connection"), weight=1e9)
    route = stage.route(bad, target("good"), eject=EjectRule(3, 30.0))
    assert [await said(route) for _ in range(10)] == ["good"] * 10
    assert (asked(bad), bad.health.ejections) == (3, 1)
    stage.clock.advance(31)
    assert [await said(route) for _ in range(5)] == ["good"] * 5
    assert asked(bad) == 4, "one probe, and its request was answered by the other"
    bad.provider = FakeProvider("bad")
    stage.clock.advance(61)
    assert [await said(route) for _ in range(3)] == ["bad"] * 3


async def test_one_probe_at_a_time() -> None:
    stage = Stage()
    going = asyncio.Event()
    bad = target("bad", going, "bad")
    route = stage.route(bad, target("good"))
    bad.health.eject(stage.clock.monotonic(), 10)
    stage.clock.advance(11)
    probing = asyncio.ensure_future(said(route))
    assert isinstance(bad.provider, FakeProvider)
    await bad.provider.until(lambda it: it.running == 1)
    assert [await said(route) for _ in range(5)] == ["good"] * 5
    going.set()
    assert await probing == "bad"
    assert not bad.health.ejected


async def test_the_only_target_is_asked_also_when_it_always_fails() -> None:
    stage = Stage()
    only = turns("only", *[[failure("connection")]] * 20, ["back"])
    route = stage.route(only, retries=0)
    for _ in range(20):
        with pytest.raises(UpstreamFailed):
            await said(route)
    assert only.health.ejected
    assert await said(route) == "back"
    assert not only.health.ejected, "an answer is all the proof that is needed"


async def test_a_model_that_is_left_out_is_skipped_for_the_next() -> None:
    stage = Stage()
    dead = target("dead", failure("connection"))
    route = stage.route(dead, retries=0, eject=EjectRule(3, 30.0))
    backup = stage.route(target("backup"))
    route.lead((backup,), None, None)
    assert [await said(route) for _ in range(20)] == ["backup"] * 20
    assert asked(dead) == 3
    used, requests = stage.process.budget.used
    assert (used, requests) == (3, 20), "going straight to the other model is no further attempt"


async def test_when_everything_fails_each_request_is_one_attempt() -> None:
    stage = Stage()
    parts = [target(name, failure("connection")) for name in "abc"]
    route = stage.route(parts[0], parts[1], retries=2, eject=EjectRule(3, 1e6))
    route.lead((stage.route(parts[2], retries=2, eject=EjectRule(3, 1e6)),), None, None)
    stage.busy(0)
    for _ in range(500):
        with pytest.raises(UpstreamFailed):
            await said(route)
        stage.clock.advance(0.02)
    assert sum(map(asked, parts)) <= 1.1 * 500


async def test_a_full_target_spills_to_the_others() -> None:
    stage = Stage()
    going = asyncio.Event()
    small, large = target("small", going, "small", limit=1, weight=1e9), target("large")
    route = stage.route(small, large)
    first = asyncio.ensure_future(said(route))
    assert isinstance(small.provider, FakeProvider)
    await small.provider.until(lambda it: it.running == 1)
    assert [await said(route) for _ in range(3)] == ["large"] * 3
    going.set()
    assert await first == "small"


async def test_a_full_model_spills_to_its_fallback_and_otherwise_refuses() -> None:
    stage = Stage()
    going = asyncio.Event()
    route = stage.route(target("small", going, "small", limit=1))
    provider = route.backends[0].provider
    first = asyncio.ensure_future(said(route))
    assert isinstance(provider, FakeProvider)
    await provider.until(lambda it: it.running == 1)
    with pytest.raises(Overloaded, match="All targets of 'm' answer as many requests") as caught:
        await said(route)
    assert caught.value.retry_after == 1.0
    route.lead((stage.route(target("backup")),), None, None)
    assert await said(route) == "backup"
    assert stage.process.budget.used[0] == 0
    going.set()
    assert await first == "small"


async def test_those_that_wait_for_a_place_get_it_in_order() -> None:
    stage = Stage()
    gates = [asyncio.Event() for _ in range(3)]
    order: list[int] = []
    single = turns("single", *[[gate, str(number)] for number, gate in enumerate(gates)])
    single.limit = 1
    route = stage.route(single, max_wait=100.0)

    async def one() -> None:
        order.append(int(await said(route)))

    assert isinstance(single.provider, FakeProvider)
    asking = []
    for _ in range(3):
        asking.append(asyncio.ensure_future(one()))
        await asyncio.sleep(0)
    await single.provider.until(lambda it: it.running == 1)
    gone = asyncio.ensure_future(one())
    await asyncio.sleep(0)
    gone.cancel()
    for gate in gates:
        gate.set()
    await asyncio.gather(*asking)
    assert order == [0, 1, 2]
    assert single.health.in_flight == 0


async def test_the_whole_of_a_route_has_a_deadline() -> None:
    stage = Stage()
    route = stage.route(target("a"), total=3.0)
    await said(route)
    provider = route.backends[0].provider
    assert isinstance(provider, FakeProvider)
    assert provider.exchanges[0].deadline == stage.clock.monotonic() + 3.0
    await said(route, ask(deadline=stage.clock.monotonic() + 1))
    assert provider.exchanges[1].deadline == stage.clock.monotonic() + 1
    late = stage.route(target("late", DeadlineExceeded("too late")), retries=5)
    with pytest.raises(DeadlineExceeded):
        await said(late, ask(deadline=stage.clock.monotonic()))
    assert asked(late.backends[0]) == 1


async def test_only_targets_that_can_do_it_are_asked() -> None:
    stage = Stage()
    plain = target("plain", weight=1e9)
    plain.features = frozenset()
    able = target("able")
    able.features = frozenset({"logprobs"})
    route = stage.route(plain, able)
    assert route.features == {"logprobs"}
    demanding = ask(parameters=Parameters(logprobs=True))
    assert await said(route, demanding) == "able"
    assert await said(route) == "plain"
    chain = stage.route(target("down", failure(), features=frozenset({"logprobs"})), retries=0)
    chain.lead((stage.route(plain), stage.route(able)), None, None)
    assert await said(chain, demanding) == "able"
    other = stage.route(plain, target("none", features=frozenset({"tools"})))
    with pytest.raises(UnsupportedFeature, match="No target of 'm' can do"):
        await said(other, demanding)


async def test_each_attempt_that_was_not_plain_is_a_span() -> None:
    stage = Stage()
    tracer = RecordingTracer()
    route = stage.route(target("a", failure("connection"), weight=1e9), target("b", failure("auth")))
    route.lead((stage.route(target("c")),), None, None)
    assert await said(route, ask(tracer=tracer)) == "c"
    assert [span.name for span in tracer.spans] == ["attempt a", "attempt b", "fallback m"]
    a, b, fallback = (span.attributes for span in tracer.spans)
    assert (a["penstock.reason"], a["penstock.error.kind"], a["penstock.attempt"]) == ("first", "connection", 1)
    assert (b["penstock.reason"], b["penstock.error.kind"], b["penstock.backend"]) == ("retry", "auth", "b")
    assert fallback["penstock.reason"] == "fallback"
    tracer = RecordingTracer()
    await said(stage.route(target("a")), ask(tracer=tracer))
    assert tracer.spans == [], "the call's own span tells of one attempt that succeeded"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failure("content_filter"), "content_filter"),
        (Overloaded("full"), "overloaded"),
        (EngineStopped("gone"), "server_error"),
        (Unavailable("gone"), "server_error"),
        (ContextLengthExceeded("long"), "context_length"),
        (InvalidRequest("what"), "bad_request"),
        (DeadlineExceeded("late"), "timeout"),
        (UpstreamTimeout("late", kind="timeout"), "timeout"),
        (ConfigError("no key"), "auth"),
        (PenstockError("odd"), "server_error"),
        (ValueError("odd"), "server_error"),
    ],
)
def test_every_error_is_of_a_kind(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind


STEPS = st.lists(
    st.lists(
        st.sampled_from(["text", "opening", "server_error", "rate_limit", "connection", "bad_request", "auth"]),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=12,
)


def step_of(word: str, number: int) -> Chunk | PenstockError:
    if word == "text":
        return Chunk(text=f"<{number}>")
    return OPENING if word == "opening" else failure(word)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(0, 3), st.booleans())
async def test_nothing_is_asked_again_once_content_was_given(
    scripts: list[list[str]], count: int, retries: int, falls_back: bool
) -> None:
    """Whatever targets do: one answer holds the content of one target, and every place is given back."""
    stage = Stage()
    made: list[str] = []

    def backend(name: str) -> Backend:
        def script(exchange: Exchange) -> list[Chunk | PenstockError]:
            number = len(made)
            made.append(name)
            return [step_of(word, number) for word in scripts[number % len(scripts)]]

        return target(name, provider=FakeProvider(name=name, script=script))

    route = stage.route(*(backend(f"t{number}") for number in range(count)), retries=retries)
    if falls_back:
        route.lead((stage.route(backend("other"), retries=retries),), None, None)
    for _ in range(5):
        before = len(made)
        texts: list[str] = []
        openings = 0
        asked_after_content = 0
        try:
            async for chunk in route.answer(ask()):
                openings += chunk.raw is not None
                if chunk.text:
                    texts.append(chunk.text)
                    asked_after_content = len(made)
        except PenstockError:
            pass
        assert len(set(texts)) <= 1, "the content of two attempts in one answer"
        if texts:
            assert len(made) == asked_after_content
        assert len(made) - before <= (1 + retries) * (2 if falls_back else 1)
        for each in (*route.backends, *(part for way in route.fallbacks for part in way.backends)):
            assert each.health.in_flight == 0
            assert not each.health.probing


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "connection"])
async def test_one_that_is_well_takes_over_also_without_budget_and_one_that_fails_does_not(
    kind: FailureKind,
) -> None:
    stage = Stage()
    while stage.process.budget.take():
        pass
    bad, good = target("bad", failure(kind), weight=1e9), target("good")
    route = stage.route(bad, good, eject=EjectRule(100, 30.0))
    assert [await said(route) for _ in range(10)] == ["good"] * 10
    good.provider = FakeProvider(failure(kind))
    for _ in range(10):
        with pytest.raises(UpstreamFailed):
            await said(route)
    assert asked(good) == 1, "it took over once more, and then was known to fail as well"


async def test_an_engine_with_a_full_queue_is_spared_for_a_moment_and_not_left_out() -> None:
    stage = Stage()
    busy = target("busy", Overloaded("The queue is full."), weight=1e9)
    route = stage.route(busy, target("other"), eject=EjectRule(3, 30.0))
    for _ in range(10):
        assert await said(route) == "other"
        stage.clock.advance(1.1)
    assert (asked(busy), busy.health.ejected) == (10, False)
    assert [await said(route) for _ in range(5)] == ["other"] * 5
    assert asked(busy) == 11


async def test_a_request_whose_time_is_over_in_mid_answer_is_not_the_targets_fault() -> None:
    route = Stage().route(target("a", "He", DeadlineExceeded("The request took too long.")))
    with pytest.raises(DeadlineExceeded):
        await said(route)
    assert route.backends[0].health.failures.total() == 0
