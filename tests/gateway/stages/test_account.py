"""What the ledger says of a call: whoever asked it, however it ended, and what it cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from support.gateway_site import model
from support.ledgers import call, opened

from penstock.access.ledger import Ledger
from penstock.config.prices import PriceSettings
from penstock.errors import Overloaded, PenstockError, UpstreamFailed
from penstock.exchange import Chunk, Exchange, Parameters, Principal, Usage
from penstock.gateway.admission import Admission
from penstock.gateway.cache.answers import AnswerCache, CacheRules
from penstock.gateway.cache.key import Keys
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.flight import Flight
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.prices import Price
from penstock.gateway.registry import Registry, Target
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.policy import Policy, Process
from penstock.gateway.routing.route import Route
from penstock.testing import FakeProvider
from penstock.traces.store import TraceStore

PRICE = Price(None, PriceSettings(input=1.0, cached_input=0.5, output=4.0))
DONE = Chunk(finish_reason="stop", usage=Usage(1000, 100, cached_input=200))


@pytest_asyncio.fixture
async def traces(tmp_path: Path) -> AsyncIterator[TraceStore]:
    store = TraceStore.open(tmp_path / "traces.db")
    yield store
    store.close()


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened_one = opened(tmp_path)
    yield opened_one
    opened_one.close()


def priced(*steps: Any, name: str = "big") -> Target:
    """A route with one target that costs a dollar for a million tokens of input, and four for the output."""
    backend = Backend("corp/big-1", FakeProvider(*steps), frozenset({"chat"}))
    backend.price = PRICE
    route = Route(name, (backend,), Policy(), Process())
    operations = frozenset({"chat"})
    return Target(
        name=name, kind="model", provider=route, operations=operations, price=PRICE, served_by=backend.name
    )


async def text_of(flight: Flight) -> str:
    async with aclosing(flight):
        return "".join([chunk.text async for chunk in flight])


async def row(ledger: Ledger) -> dict[str, Any]:
    """The one call in the ledger, with what it has in common with others."""
    assert await ledger.flush()
    with ledger.database.read() as connection:
        joined = (
            "SELECT * FROM call JOIN dimension ON dimension.id = call.dimension_id ORDER BY call.id DESC LIMIT 1"
        )
        return dict(connection.execute(text(joined)).mappings().one())


def stages(ledger: Ledger, traces: TraceStore, *targets: Target, cache: AnswerCache | None = None) -> Pipeline:
    return Pipeline(
        standard_stages(Registry(targets), traces, Meter(), admission=Admission(9), cache=cache, ledger=ledger)
    )


async def test_an_answer_costs_what_its_target_does(ledger: Ledger, traces: TraceStore) -> None:
    asked = call(
        principal=Principal(project_id="shop", key_id="key_1"), model="big", parameters=Parameters(max_tokens=500)
    )
    assert await text_of(stages(ledger, traces, priced("Hello", DONE)).run(asked)) == "Hello"
    found = await row(ledger)
    assert (found["project_id"], found["key_id"], found["model"]) == ("shop", "key_1", "big")
    assert (found["served_by"], found["provider"], found["status"]) == ("corp/big-1", "corp", "ok")
    assert (found["input"], found["cached_input"], found["output"]) == (1000, 200, 100)
    assert found["cost_nanos"] == 1000 * 1000 + 200 * 500 + 100 * 4000
    assert 500 * 4000 < found["reserved_nanos"] < 600 * 4000
    assert found["trace_id"] == asked.trace_id


async def test_what_nobody_can_price_is_null(ledger: Ledger, traces: TraceStore) -> None:
    await text_of(stages(ledger, traces, model()).run(call(model="tiny")))
    found = await row(ledger)
    assert (found["status"], found["output"], found["cost_nanos"], found["reserved_nanos"]) == ("ok", 2, None, None)


@pytest.mark.parametrize(
    ("error", "cost"),
    [
        (UpstreamFailed("It says no.", upstream_status=500), 0),
        (UpstreamFailed("Nobody knows whether it arrived."), None),
        (Overloaded("Full."), 0),
    ],
)
async def test_a_call_that_failed(ledger: Ledger, traces: TraceStore, error: Exception, cost: int | None) -> None:
    """Refused requests are not charged; whether a broken connection was, only the provider knows."""
    with pytest.raises(PenstockError):
        await text_of(stages(ledger, traces, model(FakeProvider(error))).run(call(model="tiny")))
    found = await row(ledger)
    assert (found["status"], found["cost_nanos"]) == ("error", cost)


async def test_a_client_that_leaves_pays_for_what_it_had(ledger: Ledger, traces: TraceStore) -> None:
    flight = stages(ledger, traces, priced("one ", "two ", asyncio.Event())).run(
        call("?" * 400, model="big", stream=True)
    )
    assert (await anext(flight)).text == "one "
    assert (await anext(flight)).text == "two "
    await flight.aclose()
    found = await row(ledger)
    assert (found["status"], found["estimated"], found["output"]) == ("cancelled", 1, 2)
    assert 100 <= found["input"] <= 110
    assert found["cost_nanos"] == found["input"] * 1000 + 2 * 4000


async def test_an_answer_from_the_cache_costs_nothing(ledger: Ledger, traces: TraceStore) -> None:
    cache = AnswerCache(MemoryStore(1 << 20), Keys(), CacheRules())
    pipeline = stages(ledger, traces, priced("Hello", DONE), cache=cache)
    for _ in range(2):
        asked = call(model="big", parameters=Parameters(temperature=0.0))
        assert await text_of(pipeline.run(asked)) == "Hello"
    found = await row(ledger)
    assert (found["status"], found["cache"], found["cost_nanos"], found["served_by"]) == ("cached", "hit", 0, "")
    assert found["saved_nanos"] == 1_500_000
    assert (found["input"], found["output"]) == (0, 0)


class Assistant:
    """An app that asks a model."""

    name = "assistant"
    pipeline: Pipeline

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        child = exchange.replace(id="req_child", parent_id=exchange.id, model="big", app=exchange.model)
        answer = await text_of(self.pipeline.call(child))
        yield Chunk(text=answer, finish_reason="stop", usage=Usage(7, 7))

    async def close(self) -> None:
        pass


async def test_an_apps_call_is_charged_once_and_to_the_app(ledger: Ledger, traces: TraceStore) -> None:
    app = Assistant()
    asks = Target(name="handbook", kind="app", provider=app, operations=frozenset({"chat"}), release_id="rel_7")
    app.pipeline = stages(ledger, traces, asks, priced("Hello", DONE))
    await text_of(app.pipeline.run(call(model="handbook")))
    found = await row(ledger)
    assert (found["app"], found["model"], found["release_id"]) == ("handbook", "big", "rel_7")
    assert found["request_id"] == "req_child"
    with ledger.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM call")).scalar() == 1


async def test_the_end_of_an_answer_waits_for_the_disk_where_that_is_wanted(
    tmp_path: Path, traces: TraceStore
) -> None:
    """And only the end: what comes before it is not held, and nothing changes its place."""
    ledger = opened(tmp_path / "careful", durability="power")
    blocked, ready = asyncio.Event(), asyncio.Event()

    async def committed(ticket: object) -> None:
        blocked.set()
        await ready.wait()

    ledger.committed = committed  # type: ignore[assignment]
    ledger.must_wait = lambda ticket: True  # type: ignore[method-assign]
    flight = stages(ledger, traces, priced("one ", "two", DONE)).run(call(model="big", stream=True))
    assert [(await anext(flight)).text, (await anext(flight)).text] == ["one ", "two"]
    last = asyncio.ensure_future(anext(flight))
    await blocked.wait()
    assert not last.done()
    ready.set()
    assert (await last).finish_reason == "stop"
    await flight.aclose()
    ledger.close()
