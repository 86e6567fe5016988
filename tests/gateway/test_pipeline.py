"""The stages: what they refuse, what they give back, and what an app's own calls pass through."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from support.gateway_site import model

from penstock.errors import EngineStopped, ModelNotFound, Overloaded, PenstockError, UnsupportedFeature
from penstock.exchange import LOCAL_PROJECT, Chunk, Constraint, Exchange, Message, Parameters, Usage
from penstock.gateway.admission import Admission
from penstock.gateway.flight import Chunks, Flight, Stage
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import Registry, Target
from penstock.ids import new_id, new_trace_id
from penstock.testing import FakeProvider
from penstock.traces.span import TraceDetail, TraceFilter
from penstock.traces.store import TraceStore


def ask(name: str = "tiny", **fields: object) -> Exchange:
    return Exchange(
        id=new_id("req"), trace_id=new_trace_id(), model=name, messages=(Message("user", "Hi"),), **fields
    )


@pytest_asyncio.fixture
async def traces(tmp_path: Path) -> AsyncIterator[TraceStore]:
    store = TraceStore.open(tmp_path / "traces.db")
    yield store
    store.close()


def pipeline(traces: TraceStore, *targets: Target, limit: int = 2) -> Pipeline:
    return Pipeline(standard_stages(Registry(targets), traces, Meter(), admission=Admission(limit)))


async def text_of(flight: Flight) -> str:
    async with aclosing(flight):
        return "".join([chunk.text async for chunk in flight])


async def trace_of(traces: TraceStore, exchange: Exchange) -> TraceDetail:
    assert await traces.flush()
    detail = await traces.get(exchange.trace_id, LOCAL_PROJECT)
    assert detail is not None
    return detail


class Relay:
    """An app that asks a model and says it twice."""

    name = "relay"

    def __init__(self, target: str) -> None:
        self._target = target
        self.pipeline: Pipeline | None = None

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        assert self.pipeline is not None and exchange.tracer is not None
        with exchange.tracer.span("think") as span:
            child = exchange.replace(
                id=new_id("req"), parent_id=exchange.id, model=self._target, body=b"", tracer=span.tracer
            )
            text = await text_of(self.pipeline.call(child))
        yield Chunk(text=text)
        yield Chunk(text=text, finish_reason="stop", usage=Usage(10, 2))

    async def close(self) -> None:
        pass


def app(provider: Relay) -> Target:
    return Target(name="app", kind="app", provider=provider, operations=frozenset({"chat"}), release_id="rel_1")


async def test_an_answer_is_recorded_with_its_call(traces: TraceStore) -> None:
    exchange = ask(parameters=Parameters(temperature=0.5), user="u1", options={"session": "s1"})
    assert await text_of(pipeline(traces, model(release_id="rel_2")).run(exchange)) == "Hello world"
    detail = await trace_of(traces, exchange)
    root, call = detail.spans
    assert (detail.trace.status, detail.trace.release_id, detail.trace.answer) == ("ok", "rel_2", "Hello world")
    assert (detail.trace.user, detail.trace.session) == ("u1", "s1")
    assert (detail.trace.input_tokens, detail.trace.output_tokens, detail.trace.cost_nanos) == (1, 2, None)
    assert (call.kind, call.parent_id, call.status) == ("llm", root.id, "ok")
    attributes = call.values()
    assert attributes["gen_ai.input.messages"][0]["parts"][0]["content"] == "Hi"
    assert attributes["output.value"] == "Hello world"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["penstock.first_chunk_us"] >= 0


async def test_an_apps_own_calls_are_children_of_its_request(traces: TraceStore) -> None:
    """They hang below the app's span, take no place of their own, and are counted once."""
    relay = Relay("tiny")
    tiny = FakeProvider("Hello")
    meter = Meter()
    registry = Registry([app(relay), model(tiny)])
    relay.pipeline = Pipeline(standard_stages(registry, traces, meter, admission=Admission(1)))
    exchange = ask("app", deadline=1e12)
    assert await text_of(relay.pipeline.run(exchange)) == "HelloHello"
    root, think, call = (await trace_of(traces, exchange)).spans
    assert (think.parent_id, call.parent_id) == (root.id, think.id)
    assert call.values()["gen_ai.request.model"] == "tiny"
    assert tiny.exchanges[0].deadline == 1e12
    assert meter.registry.get_sample_value("penstock_tokens_total", {"model": "tiny", "class": "output"}) == 1
    assert meter.registry.get_sample_value("penstock_tokens_total", {"model": "app", "class": "output"}) is None
    page = await traces.list(TraceFilter(project_id=LOCAL_PROJECT))
    assert len(page.traces) == 1


async def test_what_was_recorded_is_freed_without_the_collector(traces: TraceStore) -> None:
    relay = Relay("tiny")
    tiny = FakeProvider("Hello")
    relay.pipeline = pipeline(traces, app(relay), model(tiny))
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for name in ("tiny", "app"):
            await text_of(relay.pipeline.run(ask(name)))
        assert await traces.flush()
        tiny.exchanges.clear()
        gc.collect()
        left = [type(each).__name__ for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not {"ActiveTrace", "ActiveSpan", "Exchange", "TraceRecord"} & set(left)


async def test_leaving_an_app_cancels_the_call_below_it(traces: TraceStore) -> None:
    relay = Relay("tiny")
    tiny = FakeProvider(asyncio.Event())
    relay.pipeline = pipeline(traces, app(relay), model(tiny))
    exchange = ask("app")
    asking = asyncio.ensure_future(text_of(relay.pipeline.run(exchange)))
    await tiny.until(lambda it: it.running == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (tiny.running, tiny.left) == (0, 1)
    detail = await trace_of(traces, exchange)
    assert detail.trace.status == "cancelled"
    assert [span.status for span in detail.spans] == ["error", "error", "error"]


@pytest.mark.parametrize(
    ("exchange", "error", "code"),
    [
        (ask("tyni"), ModelNotFound, "model_not_found"),
        (ask("tiny", operation="embed"), UnsupportedFeature, "unsupported_feature"),
        (ask("app", parameters=Parameters(logprobs=True)), UnsupportedFeature, "unsupported_feature"),
        (
            ask("app", parameters=Parameters(constraint=Constraint("regex", "a"))),
            UnsupportedFeature,
            "unsupported_feature",
        ),
        (ask("broken"), EngineStopped, "engine_stopped"),
    ],
)
async def test_what_is_refused_or_fails_is_recorded_and_gives_its_place_back(
    traces: TraceStore, exchange: Exchange, error: type[PenstockError], code: str
) -> None:
    broken = model(FakeProvider("Some", EngineStopped("The engine stopped.")), "broken")
    one = pipeline(traces, model(), app(Relay("tiny")), broken, limit=1)
    for _ in range(3):
        with pytest.raises(error):
            await text_of(one.run(exchange.replace(trace_id=new_trace_id())))
    with pytest.raises(error):
        await text_of(one.run(exchange))
    trace = (await trace_of(traces, exchange)).trace
    assert (trace.status, trace.error_code) == ("error", code)
    assert await text_of(one.run(ask())) == "Hello world"


async def test_a_full_house_is_refused_and_recorded(traces: TraceStore) -> None:
    go_on = asyncio.Event()
    provider = FakeProvider(go_on, "done")
    one = pipeline(traces, model(provider), limit=1)
    first = asyncio.ensure_future(text_of(one.run(ask())))
    await provider.until(lambda it: it.running == 1)
    refused = ask()
    with pytest.raises(Overloaded) as caught:
        await text_of(one.run(refused))
    assert caught.value.retry_after == 1.0
    go_on.set()
    assert await first == "done"
    assert (await trace_of(traces, refused)).trace.error_code == "overloaded"


async def test_an_answer_that_is_closed_early_ends_at_once(traces: TraceStore) -> None:
    provider = FakeProvider("one ", "two ", "three")
    one = pipeline(traces, model(provider), limit=1)
    exchange = ask()
    flight = one.run(exchange)
    assert (await anext(flight)).text == "one "
    await flight.aclose()
    assert (provider.running, provider.left) == (0, 1)
    trace = (await trace_of(traces, exchange)).trace
    assert (trace.status, trace.answer) == ("cancelled", "one")
    assert await text_of(one.run(ask())) == "one two three"


class Noisy(Stage):
    """Says when it is passed, adds to the answer, and fails at its end if told to."""

    def __init__(self, name: str, log: list[str], *, fails: bool = False, refuses: bool = False) -> None:
        self.name, self.log, self.fails, self.refuses = name, log, fails, refuses

    async def inbound(self, flight: Flight) -> None:
        if self.refuses:
            raise Overloaded("no")
        self.log.append(f"{self.name} in")
        flight.target = model(FakeProvider("x"))

    async def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        async for chunk in chunks:
            yield Chunk(text=f"{self.name}({chunk.text})") if chunk.text else chunk
        self.log.append(f"{self.name} out")

    def end(self, flight: Flight) -> None:
        self.log.append(f"{self.name} end {type(flight.error).__name__}")
        if self.fails:
            raise RuntimeError("broken stage")


async def test_stages_run_in_order_and_end_in_reverse() -> None:
    log: list[str] = []
    stages = (Noisy("a", log), Noisy("b", log, fails=True), Noisy("c", log))
    assert await text_of(Pipeline(stages).run(ask())) == "a(b(c(x)))"
    assert log == ["a in", "b in", "c in", "c out", "b out", "a out", *(f"{n} end NoneType" for n in "cba")]


async def test_a_stage_that_refuses_ends_only_those_before_it() -> None:
    log: list[str] = []
    stages = (Noisy("a", log), Noisy("b", log, refuses=True), Noisy("c", log))
    with pytest.raises(Overloaded):
        await text_of(Pipeline(stages).run(ask()))
    assert log == ["a in", "a end Overloaded"]
