"""What the pipeline takes from limits, and what it gives back however a request ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.access.limits import Limits
from penstock.access.limits.local import LocalStore
from penstock.config.limits import LimitSettings
from penstock.errors import EngineStopped, PenstockError, RateLimited
from penstock.exchange import Chunk, Exchange, Message, Parameters, Principal, Usage
from penstock.gateway.flight import Chunks, Flight, Stage
from penstock.gateway.pipeline import Pipeline
from penstock.gateway.registry import Registry, Target
from penstock.gateway.stages.reserve import Reserve
from penstock.gateway.stages.resolve import Resolve
from penstock.ids import new_id, new_trace_id
from penstock.seams import Provider

CALLER = Principal(project_id="a", key_id="key_ci", name="ci")
EVERYTHING = LimitSettings(requests=100, tokens=100_000, usd=1.0, concurrent=10, window="day")
REQUESTS, TOKENS, NANOS, CONCURRENT = range(4)


class Cents:
    """A price: a millionth of a dollar for each token."""

    def cost_nanos(self, usage: Usage, now: float) -> int:
        return 1000 * (usage.prompt_tokens + usage.completion_tokens)


class Scripted:
    """Yields what it was given; an exception in it is raised, and `wait` stops it there until it is cancelled."""

    name = "scripted"

    def __init__(self, *script: Chunk | PenstockError | str) -> None:
        self.script = script
        self.calls = 0
        self.waits = asyncio.Event()

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        self.calls += 1
        for step in self.script:
            if isinstance(step, PenstockError):
                raise step
            if isinstance(step, str):
                self.waits.set()
                await asyncio.Event().wait()
                continue
            yield step

    async def close(self) -> None: ...


class Site:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.registry = Registry()
        self.pipeline = Pipeline((Resolve(self.registry), Reserve(limits)))

    def serve(self, provider: Provider, name: str = "tiny", *, app: bool = False) -> None:
        self.registry.add(
            Target(
                name=name,
                kind="app" if app else "model",
                provider=provider,
                operations=frozenset({"chat"}),
                price=None if app else Cents(),  # type: ignore[arg-type]
            )
        )

    def fly(self, name: str = "tiny", max_tokens: int | None = 1000) -> Flight:
        return self.pipeline.run(
            Exchange(
                id=new_id("req"),
                trace_id=new_trace_id(),
                project_id="a",
                principal=CALLER,
                model=name,
                messages=(Message("user", "x" * 396),),
                parameters=Parameters(max_tokens=max_tokens),
            )
        )

    async def used(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for each in await self.limits.usage():
            found[each.spec.dimension] = found.get(each.spec.dimension, 0) + each.used
        return found


async def finished(flight: Flight) -> list[Chunk]:
    async with aclosing(flight):
        return [chunk async for chunk in flight]


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    store = LocalStore(tmp_path / "limits.counts")
    yield Site(Limits(store, [EVERYTHING]))
    await store.close()


async def test_while_a_request_runs_the_most_it_may_use_is_taken(site: Site) -> None:
    site.serve(Scripted(Chunk(text="Hi"), "wait"))
    flight = site.fly()
    await anext(flight)
    assert await site.used() == {REQUESTS: 1, TOKENS: 1100, NANOS: 1_100_000, CONCURRENT: 1}
    assert dict(flight.headers)[b"x-ratelimit-remaining-tokens"] == b"98900"
    await flight.aclose()


async def test_afterwards_what_it_used(site: Site) -> None:
    usage = Usage(90, 20, cached_input=5, reasoning=7, cost_nanos=4321)
    site.serve(Scripted(Chunk(text="Hi", finish_reason="stop", usage=usage)))
    await finished(site.fly())
    assert await site.used() == {REQUESTS: 1, TOKENS: 122, NANOS: 4321, CONCURRENT: 0}


async def test_a_provider_that_counts_nothing_is_charged_what_was_reserved(site: Site) -> None:
    site.serve(Scripted(Chunk(text="Hi", finish_reason="stop")))
    await finished(site.fly())
    assert await site.used() == {REQUESTS: 1, TOKENS: 1100, NANOS: 1_100_000, CONCURRENT: 0}


async def test_a_failure_before_the_first_word_costs_the_request_alone(site: Site) -> None:
    site.serve(Scripted(EngineStopped("It stopped.")))
    with pytest.raises(EngineStopped):
        await finished(site.fly())
    assert await site.used() == {REQUESTS: 1, TOKENS: 0, NANOS: 0, CONCURRENT: 0}


async def test_a_stream_that_breaks_costs_what_came(site: Site) -> None:
    site.serve(Scripted(Chunk(text="One"), Chunk(text="two"), EngineStopped("It stopped.")))
    with pytest.raises(EngineStopped):
        await finished(site.fly())
    assert await site.used() == {REQUESTS: 1, TOKENS: 102, NANOS: 102_000, CONCURRENT: 0}


async def test_a_client_that_leaves_pays_for_what_it_got_and_for_its_prompt(site: Site) -> None:
    site.serve(Scripted(Chunk(text="One"), Chunk(text="two"), "wait"))
    flight = site.fly()
    await anext(flight)
    await anext(flight)
    await flight.aclose()
    assert await site.used() == {REQUESTS: 1, TOKENS: 102, NANOS: 102_000, CONCURRENT: 0}


async def test_a_client_that_leaves_before_the_first_word_pays_for_its_prompt(site: Site) -> None:
    provider = Scripted("wait")
    site.serve(provider)
    flight = site.fly()
    waiting = asyncio.ensure_future(anext(flight))
    await provider.waits.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await flight.aclose()
    assert await site.used() == {REQUESTS: 1, TOKENS: 100, NANOS: 100_000, CONCURRENT: 0}


async def test_a_refusal_costs_no_call(site: Site) -> None:
    provider = Scripted(Chunk(text="Hi", finish_reason="stop"))
    site.serve(provider)
    site.limits.use([LimitSettings(requests=1)])
    await finished(site.fly())
    with pytest.raises(RateLimited):
        await finished(site.fly())
    assert provider.calls == 1
    assert await site.used() == {REQUESTS: 1}


async def test_an_answer_from_a_cache_costs_the_request_alone(site: Site) -> None:
    class Cached(Stage):
        async def inbound(self, flight: Flight) -> None:
            flight.cache = "hit"
            flight.source = self.stored()

        async def stored(self) -> Chunks:
            yield Chunk(text="Hi", finish_reason="stop", usage=Usage(90, 20, cost_nanos=4321))

    site.serve(Scripted())
    site.pipeline = Pipeline((Resolve(site.registry), Reserve(site.limits), Cached()))
    await finished(site.fly())
    assert await site.used() == {REQUESTS: 1, TOKENS: 0, NANOS: 0, CONCURRENT: 0}


async def test_a_stage_behind_that_refuses_gives_everything_back_but_the_request(site: Site) -> None:
    class Refusing(Stage):
        async def inbound(self, flight: Flight) -> None:
            raise EngineStopped("No.")

    site.serve(Scripted())
    site.pipeline = Pipeline((Resolve(site.registry), Reserve(site.limits), Refusing()))
    with pytest.raises(EngineStopped):
        await finished(site.fly())
    assert await site.used() == {REQUESTS: 1, TOKENS: 0, NANOS: 0, CONCURRENT: 0}


async def test_an_app_waits_for_nothing_that_its_request_holds(site: Site) -> None:
    """A limit of one at a time is no obstacle for an app whose request calls a model three times."""

    class Thorough:
        name = "thorough"

        async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
            for _ in range(3):
                await finished(site.pipeline.call(exchange.replace(model="tiny")))
            yield Chunk(text="Done", finish_reason="stop")

        async def close(self) -> None: ...

    site.limits.use([LimitSettings(requests=1, concurrent=1, tokens=10_000, window="day")])
    site.serve(Scripted(Chunk(text="Hi", finish_reason="stop", usage=Usage(50, 10))))
    site.serve(Thorough(), "handbook", app=True)
    assert (await finished(site.fly("handbook")))[-1].text == "Done"
    assert await site.used() == {REQUESTS: 1, TOKENS: 180, CONCURRENT: 0}


async def test_answers_of_unknown_length_are_taken_to_be_as_long_as_those_before(site: Site) -> None:
    provider = Scripted(Chunk(text="Hi", finish_reason="stop", usage=Usage(100, 40)))
    site.serve(provider)

    async def reserved() -> int:
        before = (await site.used()).get(TOKENS, 0)
        flight = site.fly(max_tokens=None)
        provider.script = ("wait",)
        waiting = asyncio.ensure_future(anext(flight))
        await provider.waits.wait()
        taken = (await site.used())[TOKENS] - before
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await flight.aclose()
        return taken

    await finished(site.fly(max_tokens=None))
    assert await reserved() == 100 + 40


async def test_what_nothing_limits_leaves_no_trace(site: Site) -> None:
    site.limits.use([LimitSettings(project="other", requests=1)])
    site.serve(Scripted(Chunk(text="Hi", finish_reason="stop")))
    flight = site.fly()
    await finished(flight)
    assert (flight.reservation, flight.headers) == (None, [])
