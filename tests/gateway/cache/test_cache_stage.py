"""The cache in the pipeline: what is found, what is kept, and what it says about it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.gateway_site import model

from penstock.clock import ManualClock
from penstock.errors import NotCached, UpstreamFailed
from penstock.exchange import Chunk, Exchange, FinishReason, Message, Parameters, Usage
from penstock.gateway.admission import Admission
from penstock.gateway.cache.answers import AnswerCache, CacheRules
from penstock.gateway.cache.base import CacheStore, StoreStats
from penstock.gateway.cache.control import DIRECTIVES, OFF, ON, Directives
from penstock.gateway.cache.key import Keys
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.flight import Flight
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import Registry, Target
from penstock.ids import new_id, new_trace_id
from penstock.testing import FakeProvider
from penstock.traces.span import TraceDetail
from penstock.traces.store import TraceStore

USAGE = Usage(7, 3, cost_nanos=900)
ANSWER = (Chunk(text="Hello"), Chunk(text=" world"), Chunk(finish_reason="stop", usage=USAGE))


@dataclass
class Rig:
    """A pipeline with a cache in front of one provider."""

    traces: TraceStore
    provider: FakeProvider
    cache: AnswerCache
    clock: ManualClock
    pipeline: Pipeline

    def ask(self, **fields: Any) -> Exchange:
        known: dict[str, Any] = {"parameters": Parameters(temperature=0), "model": "tiny"}
        known |= {"messages": (Message("user", fields.pop("text", "Hi")),)}
        if (said := fields.pop("said", None)) is not None:
            known["options"] = {DIRECTIVES: said}
        return Exchange(id=new_id("req"), trace_id=new_trace_id(), **(known | fields))

    async def chunks(self, **fields: Any) -> tuple[list[Chunk], Flight]:
        async with aclosing(self.pipeline.run(self.ask(**fields))) as flight:
            return [chunk async for chunk in flight], flight

    async def result(self, **fields: Any) -> str:
        """What the header says."""
        _, flight = await self.chunks(**fields)
        return dict(flight.headers).get(b"x-penstock-cache", b"").decode()

    async def trace(self, flight: Flight) -> TraceDetail:
        assert await self.traces.flush()
        detail = await self.traces.get(flight.exchange.trace_id, flight.exchange.project_id)
        assert detail is not None
        return detail

    @property
    def calls(self) -> int:
        return len(self.provider.exchanges)


class Rigs:
    def __init__(self, traces: TraceStore) -> None:
        self._traces = traces

    def __call__(
        self,
        *steps: Any,
        keys: Keys | None = None,
        store: CacheStore | None = None,
        target: Target | None = None,
        **rules: Any,
    ) -> Rig:
        clock = ManualClock()
        provider = FakeProvider(*(steps or ANSWER))
        cache = AnswerCache(store or MemoryStore(1 << 20, clock), keys or Keys(), CacheRules(**rules), clock=clock)
        target = target or model(provider, features=None, forwards=frozenset({"openai"}))
        stages = standard_stages(Registry([target]), self._traces, Meter(), admission=Admission(300), cache=cache)
        return Rig(self._traces, provider, cache, clock, Pipeline(stages))


@pytest_asyncio.fixture
async def rigs(tmp_path: Path) -> AsyncIterator[Rigs]:
    store = TraceStore.open(tmp_path / "traces.db")
    yield Rigs(store)
    store.close()


async def test_the_second_request_is_answered_from_the_cache(rigs: Rigs) -> None:
    rig = rigs()
    first, miss = await rig.chunks()
    rig.clock.advance(12)
    second, hit = await rig.chunks()
    assert rig.calls == 1
    assert [chunk.text for chunk in second] == [chunk.text for chunk in first]
    assert (miss.headers, miss.cache) == ([(b"x-penstock-cache", b"miss")], "")
    assert (hit.headers, hit.cache) == ([(b"age", b"12"), (b"x-penstock-cache", b"hit")], "hit")
    assert rig.cache.results == {"hit": 1, "semantic": 0, "shared": 0, "miss": 1}


async def test_a_hit_costs_nothing_and_says_so_in_its_trace(rigs: Rigs) -> None:
    rig = rigs()
    _, miss = await rig.chunks()
    _, hit = await rig.chunks()
    assert miss.usage == USAGE
    assert hit.usage == Usage(7, 3, cost_nanos=0)
    for flight, said in ((miss, "miss"), (hit, "hit")):
        assert (await rig.trace(flight)).spans[0].values()["penstock.cache"] == said
    traced = await rig.trace(hit)
    assert (traced.trace.cost_nanos, traced.spans[1].values()["penstock.cache"]) == (0, "hit")


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({}, True),
        ({"parameters": Parameters(seed=7)}, True),
        ({"parameters": Parameters(temperature=0.7)}, False),
        ({"parameters": Parameters()}, False),
        ({"parameters": Parameters(), "said": ON}, True),
        ({"parameters": Parameters(), "said": Directives(wanted=True, max_age=60)}, True),
        ({"said": OFF}, False),
        ({"purpose": "eval"}, False),
        ({"purpose": "batch"}, True),
    ],
)
async def test_what_is_cached(rigs: Rigs, fields: dict[str, Any], taken: bool) -> None:
    rig = rigs()
    assert [await rig.result(**fields), await rig.result(**fields)] == (["miss", "hit"] if taken else ["", ""])
    assert rig.calls == (1 if taken else 2)


async def test_embeddings_are_always_the_same(rigs: Rigs) -> None:
    vectors = Chunk(embeddings=(b"\0\0\x80?",), usage=Usage(3))
    target = model(FakeProvider(vectors, script=lambda exchange: [vectors]), operations=frozenset({"embed"}))
    rig = rigs(target=target)
    asked: dict[str, Any] = {"operation": "embed", "inputs": ("a",), "messages": (), "parameters": Parameters()}
    assert [await rig.result(**asked), await rig.result(**asked)] == ["miss", "hit"]
    found, _ = await rig.chunks(**asked)
    assert found[0].embeddings == vectors.embeddings


async def test_only_the_models_that_are_named(rigs: Rigs) -> None:
    assert await rigs(models=("big-*", "t?ny")).result() == "miss"
    assert await rigs(models=("big-*",)).result() == ""


@pytest.mark.parametrize("reason", ["length", "content_filter", "error"])
async def test_an_answer_that_was_cut_off_is_not_kept(rigs: Rigs, reason: FinishReason) -> None:
    rig = rigs(Chunk(text="Hel", finish_reason=reason, usage=USAGE))
    assert [await rig.result(), await rig.result()] == ["miss", "miss"]


async def test_one_of_several_answers_that_was_cut_off_is_enough(rigs: Rigs) -> None:
    cut = Chunk(index=1, finish_reason="length")
    rig = rigs(Chunk(text="Hello", finish_reason="stop", usage=USAGE, others=(cut,)))
    assert [await rig.result(), await rig.result()] == ["miss", "miss"]


async def test_errors_and_large_answers_are_not_kept(rigs: Rigs) -> None:
    broken = rigs("Hel", UpstreamFailed("It broke."))
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            await broken.chunks()
    assert broken.calls == 2
    large = rigs("x" * 5000, ANSWER[-1], max_entry_bytes=4000)
    assert [await large.result(), await large.result()] == ["miss", "miss"]


async def test_an_answer_is_given_for_its_time(rigs: Rigs) -> None:
    rig = rigs(seconds=60.0)
    await rig.result()
    rig.clock.advance(59)
    assert await rig.result() == "hit"
    rig.clock.advance(1)
    assert await rig.result() == "miss"


async def test_a_caller_may_want_a_younger_one(rigs: Rigs) -> None:
    rig = rigs()
    await rig.result()
    rig.clock.advance(10)
    assert await rig.result(said=Directives(wanted=True, max_age=10)) == "hit"
    rig.clock.advance(1)
    assert await rig.result(said=Directives(wanted=True, max_age=10)) == "miss"
    rig.clock.advance(5)
    assert await rig.result(said=Directives(wanted=True, max_age=10)) == "hit"


async def test_no_cache_makes_a_new_one_and_keeps_it(rigs: Rigs) -> None:
    rig = rigs()
    await rig.result()
    rig.clock.advance(10)
    assert await rig.result(said=Directives(use=False)) == "miss"
    _, flight = await rig.chunks()
    assert dict(flight.headers)[b"age"] == b"0"
    assert rig.calls == 2


async def test_only_if_cached_never_calls(rigs: Rigs) -> None:
    rig = rigs()
    only = Directives(wanted=True, only=True)
    with pytest.raises(NotCached, match="This answer is not in the cache") as caught:
        await rig.chunks(said=only)
    assert (caught.value.status, rig.calls) == (504, 0)
    await rig.chunks()
    assert await rig.result(said=only) == "hit"
    with pytest.raises(NotCached, match="not one that is cached"):
        await rig.chunks(said=only, purpose="eval")


async def test_projects_do_not_share_and_are_cleared_apart(rigs: Rigs) -> None:
    rig = rigs()
    assert [await rig.result(), await rig.result(project_id="other")] == ["miss", "miss"]
    assert [await rig.result(), await rig.result(project_id="other")] == ["hit", "hit"]
    await rig.cache.clear("other")
    assert [await rig.result(), await rig.result(project_id="other")] == ["hit", "miss"]


async def test_a_new_generation_of_an_apps_knowledge_is_asked_anew(rigs: Rigs) -> None:
    generation = 1
    provider = FakeProvider(*ANSWER)
    app = Target(
        name="tiny", kind="app", provider=provider, operations=frozenset({"chat"}), features=None, release_id="rel"
    )
    rig = rigs(target=app, keys=Keys(generation=lambda name: generation))
    assert [await rig.result(), await rig.result()] == ["miss", "hit"]
    generation = 2
    assert await rig.result() == "miss"


BODY = json.dumps({"model": "tiny", "temperature": 0, "messages": [{"role": "user", "content": "Hi"}]}).encode()
RAW = (
    Chunk(text="Hel", raw=b'{"n":1}'),
    Chunk(text="lo", raw=b'{"n":2}', finish_reason="stop"),
    Chunk(usage=USAGE),
)


async def test_bytes_are_replayed_where_they_fit_and_left_out_where_not(rigs: Rigs) -> None:
    rig = rigs(*RAW)
    asked: dict[str, Any] = {"dialect": "openai", "body": BODY, "stream": True}
    await rig.chunks(**asked)
    same, _ = await rig.chunks(**asked)
    assert [chunk.raw for chunk in same] == [b'{"n":1}', b'{"n":2}', None]
    for other in ({"stream": False}, {"stream": True, "wants_usage": True}):
        found, flight = await rig.chunks(**(asked | other))
        assert flight.cache == "hit"
        assert [(chunk.text, chunk.raw) for chunk in found] == [("Hel", None), ("lo", None), ("", None)]
    assert rig.calls == 1


@pytest.mark.parametrize(
    ("extra", "chunks"),
    [
        ({"logprobs": True}, RAW),
        ({"a_field_of_tomorrow": 1}, RAW),
        ({}, (Chunk(raw=b"{}", finish_reason="tool_calls", usage=USAGE),)),
    ],
)
async def test_what_only_the_bytes_hold_is_not_translated(
    rigs: Rigs, extra: dict[str, Any], chunks: tuple[Chunk, ...]
) -> None:
    rig = rigs(*chunks)
    asked: dict[str, Any] = {"dialect": "openai", "body": json.dumps(json.loads(BODY) | extra).encode()}
    assert await rig.result(stream=True, **asked) == "miss"
    assert await rig.result(**asked) == "miss"
    assert await rig.result(**asked) == "hit"


async def test_a_stored_answer_that_is_damaged_or_somebody_elses_is_a_miss(rigs: Rigs) -> None:
    store = MemoryStore(1 << 20)
    rig = rigs(store=store)
    await rig.chunks()
    (key,) = store._held
    good = await store.get(key)
    assert good is not None
    for bad in (b"", b"x", good[:-1], good[:10] + b"\xff" + good[11:], bytes(len(good)), good * 2):
        store.put(key, bad, 60)
        assert await rig.result() == "miss"
        assert await store.get(key) == good or await rig.result() == "hit"
    await rig.chunks(text="Another question")
    (other,) = (each for each in store._held if each != key)
    store.put(other, good, 60)
    assert await rig.result(text="Another question") == "miss"


class Gone:
    """A store that has nothing and takes nothing, as one whose server is down."""

    async def get(self, key: bytes) -> bytes | None:
        return None

    def put(self, key: bytes, data: bytes, seconds: float) -> None: ...

    def delete(self, key: bytes) -> None: ...

    async def clear(self, namespace: bytes) -> None: ...

    async def flush(self) -> None: ...

    def stats(self) -> StoreStats:
        return StoreStats(up=False)

    async def close(self) -> None: ...


async def test_without_its_store_requests_are_answered_and_still_shared(rigs: Rigs) -> None:
    gate = asyncio.Event()
    rig = rigs("Hello", gate, ANSWER[-1], store=Gone())
    first = asyncio.ensure_future(rig.result())
    await rig.provider.until(lambda it: it.running == 1)
    others = [asyncio.ensure_future(rig.result()) for _ in range(99)]
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    assert await first == "miss"
    assert await asyncio.gather(*others) == ["shared"] * 99
    assert rig.calls == 1


async def test_streamed_and_whole_requests_in_flight_do_not_share(rigs: Rigs) -> None:
    gate = asyncio.Event()
    rig = rigs(gate, *RAW)
    asked: dict[str, Any] = {"dialect": "openai", "body": BODY}
    both = [asyncio.ensure_future(rig.result(**asked, stream=stream)) for stream in (True, False)]
    await rig.provider.until(lambda it: it.running == 2)
    gate.set()
    assert await asyncio.gather(*both) == ["miss", "miss"]


async def test_one_who_asks_for_a_new_answer_is_not_given_one_in_flight(rigs: Rigs) -> None:
    gate = asyncio.Event()
    rig = rigs(gate, *ANSWER)
    first = asyncio.ensure_future(rig.result())
    await rig.provider.until(lambda it: it.running == 1)
    second = asyncio.ensure_future(rig.result(said=Directives(use=False)))
    await rig.provider.until(lambda it: it.running == 2)
    gate.set()
    assert [await first, await second] == ["miss", "miss"]


async def test_leaving_gives_back_and_cancels(rigs: Rigs) -> None:
    rig = rigs("Hello", asyncio.Event())
    async with aclosing(rig.pipeline.run(rig.ask())) as flight:
        assert (await anext(flight)).text == "Hello"
    assert (rig.provider.running, rig.provider.left) == (0, 1)
    assert len(rig.cache.flights) == 0


async def test_without_a_cache_there_is_no_stage(rigs: Rigs) -> None:
    stages = standard_stages(Registry(), rigs._traces, Meter(), admission=Admission(1))
    names = [type(stage).__name__ for stage in stages]
    assert "Cache" not in names
