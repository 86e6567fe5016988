"""Facts about who asks, from a real database, real HTTP and a stand-in of Feast's feature server."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from support.tracing import EVERYTHING, exchange

from penstock.access.principal import PERSON
from penstock.config.features import FeatureSettings
from penstock.errors import UpstreamFailed
from penstock.exchange import Principal
from penstock.features import base
from penstock.features.base import Asker
from penstock.features.feast import FeastFeature
from penstock.features.http import HttpFeature, Lookup
from penstock.features.lookup import Feature, Features, Terms
from penstock.features.repository import FactQuery
from penstock.features.sql import SqlFeature
from penstock.models.providers.connection import Address, Connection
from penstock.traces.recorder import RecorderSettings
from penstock.traces.store import TraceStore

ANN = Asker(user="ann", project="local", key="key_1")
TERMS = Terms(deadline=5.0, keep=0.0, default="nothing")


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "crm.db") as connection:
        connection.execute("CREATE TABLE people (id TEXT, plan TEXT, spent REAL)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?, ?)", [("ann", "gold", 12.5), ("bob", "silver", 0.0)]
        )
    connection.close()
    return tmp_path


def sql(folder: Path, query: str, name: str = "plan") -> SqlFeature:
    return SqlFeature(name, FactQuery(f"features.{name}", "sqlite:///crm.db", query, folder, 5.0))


class Server:
    """An HTTP server that answers `json` and keeps what was asked; `held` is waited for first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.json: Any = {}
        self.status = 200
        self.held: asyncio.Event | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.path, dict(request.query), body))
        if self.held is not None:
            await self.held.wait()
        return web.json_response(self.json, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


def http(server: Server, field: str = "", name: str = "account") -> HttpFeature:
    connection = Connection(Address(name=f"features.{name}", base_url=server.url))
    return HttpFeature(name, connection, Lookup(path="/people", parameters={"id": "user"}, field=field))


def feast(server: Server) -> FeastFeature:
    connection = Connection(Address(name="features.customer", base_url=server.url))
    return FeastFeature(
        "customer", connection, {"customer_id": "user"}, ("customer:plan", "customer:orders", "customer:old")
    )


async def about(*features: Feature, **fields: Any) -> Mapping[str, Any]:
    looked_up = Features(features)
    try:
        return await looked_up.about(exchange(**fields))
    finally:
        await looked_up.close()


@pytest.mark.parametrize(
    ("query", "fact"),
    [
        ("SELECT plan FROM people WHERE id = :user", "gold"),
        ("SELECT plan, spent FROM people WHERE id = :user", {"plan": "gold", "spent": 12.5}),
        ("SELECT plan FROM people WHERE id = :user || :project", None),
        ("SELECT 'x::y' AS text", "x::y"),
    ],
)
async def test_a_row_is_the_fact(crm: Path, query: str, fact: object) -> None:
    source = sql(crm, query)
    assert await source.fetch(ANN) == fact
    await source.close()


async def test_what_a_user_calls_themselves_is_never_part_of_the_query(crm: Path) -> None:
    source = sql(crm, "SELECT plan FROM people WHERE id = :user")
    for user in ("' OR '1'='1", "ann'; DROP TABLE people; --", ":key"):
        assert await source.fetch(Asker(user=user, project="local", key="")) is None
    assert await source.fetch(ANN) == "gold"
    await source.close()


async def test_a_query_can_only_read(crm: Path) -> None:
    source = sql(crm, "WITH x AS (SELECT 1) DELETE FROM people")
    with pytest.raises(UpstreamFailed, match=r"The query of features\.plan failed: attempt to write a readonly"):
        await source.fetch(ANN)
    await source.close()


async def test_a_query_of_postgresql_can_only_read(postgres_url: str, tmp_path: Path) -> None:
    def source(query: str) -> SqlFeature:
        return SqlFeature("plan", FactQuery("features.plan", postgres_url, query, tmp_path, 5.0))

    writing = source("WITH x AS (SELECT lo_create(4711)) SELECT * FROM x")
    with pytest.raises(UpstreamFailed, match=r"cannot execute lo_create.* in a read-only transaction"):
        await writing.fetch(ANN)
    endless = source("SELECT 'Infinity'::numeric AS spent, :user AS who")
    assert await endless.fetch(ANN) == {"spent": float("inf"), "who": "ann"}
    for each in (writing, endless):
        await each.close()


async def test_who_is_not_known_is_not_looked_up(crm: Path, server: Server) -> None:
    nobody = Asker(user="", project="local", key="")
    for source in (sql(crm, "SELECT plan FROM people WHERE id = :user"), http(server), feast(server)):
        assert await source.fetch(nobody) is None
        await source.close()
    assert server.asked == []


async def test_an_http_lookup_says_who_asks_in_the_query_string(server: Server) -> None:
    server.json = {"account": {"plan": "gold", "seats": 3}}
    source = http(server, "account.plan")
    assert await source.fetch(Asker(user="a&b=c d", project="local", key="")) == "gold"
    assert server.asked == [("/people", {"id": "a&b=c d"}, None)]
    await source.close()
    source = http(server, "account.none")
    assert await source.fetch(ANN) is None
    server.status = 404
    assert await source.fetch(ANN) is None
    server.status = 500
    with pytest.raises(UpstreamFailed, match="The lookup of account was answered with status 500"):
        await source.fetch(ANN)
    await source.close()


async def test_the_path_of_a_lookup_may_be_of_any_script(server: Server) -> None:
    server.json = {"plan": "gold"}
    connection = Connection(Address(name="features.plan", base_url=server.url))
    source = HttpFeature("plan", connection, Lookup(path="/größe und %C3%A4", parameters={"id": "user"}))
    assert await source.fetch(ANN) == {"plan": "gold"}
    assert server.asked == [("/größe und ä", {"id": "ann"}, None)]
    await source.close()


async def test_feast_says_what_its_online_store_has(server: Server) -> None:
    server.json = {
        "metadata": {"feature_names": ["customer_id", "plan", "orders", "old"]},
        "results": [
            {"values": ["ann"], "statuses": ["PRESENT"], "event_timestamps": ["1970-01-01T00:00:00Z"]},
            {"values": ["gold"], "statuses": ["PRESENT"], "event_timestamps": ["2026-01-01T00:00:00Z"]},
            {"values": [None], "statuses": ["NOT_FOUND"], "event_timestamps": ["1970-01-01T00:00:00Z"]},
            {"values": [7], "statuses": ["OUTSIDE_MAX_AGE"], "event_timestamps": ["2020-01-01T00:00:00Z"]},
        ],
    }
    source = feast(server)
    assert await source.fetch(ANN) == {"plan": "gold"}
    path, _, body = server.asked[0]
    assert path == "/get-online-features"
    assert body == {
        "features": ["customer:plan", "customer:orders", "customer:old"],
        "entities": {"customer_id": ["ann"]},
        "full_feature_names": False,
    }
    server.json = {"detail": "no such view"}
    with pytest.raises(UpstreamFailed, match="was not answered as Feast does"):
        await source.fetch(ANN)
    await source.close()


async def test_a_lookup_that_is_late_or_fails_is_its_default_and_disturbs_no_other(
    crm: Path, server: Server
) -> None:
    server.held = asyncio.Event()
    found = await about(
        Feature(sql(crm, "SELECT plan FROM people WHERE id = :user"), TERMS),
        Feature(sql(crm, "SELECT nothing FROM people", "broken"), Terms(deadline=5, keep=0, default=0)),
        Feature(http(server), Terms(deadline=0.05, keep=0, default={"plan": "free"})),
        Feature(http(server, name="silent"), Terms(deadline=0.05, keep=0)),
        user="ann",
    )
    assert found == {"plan": "gold", "broken": 0, "account": {"plan": "free"}}


async def test_lookups_run_at_the_same_time(server: Server) -> None:
    server.held = asyncio.Event()
    features = Features([Feature(http(server, name=name), TERMS) for name in ("one", "two", "three")])
    asking = asyncio.create_task(features.about(exchange(user="ann")))
    while len(server.asked) < 3:  # noqa: ASYNC110 - all three are under way before any is answered
        await asyncio.sleep(0.001)
    server.json = "yes"
    server.held.set()
    assert await asking == {"one": "yes", "two": "yes", "three": "yes"}
    await features.close()


async def test_facts_are_kept_for_each_person_and_failures_are_not(server: Server) -> None:
    server.json, server.status = "gold", 503
    features = Features([Feature(http(server), Terms(deadline=5, keep=60, default="free"))])
    assert await features.about(exchange(user="ann")) == {"account": "free"}
    server.status = 200
    assert await features.about(exchange(user="ann")) == {"account": "gold"}
    server.json = "silver"
    assert await features.about(exchange(user="ann")) == {"account": "gold"}
    assert await features.about(exchange(user="bob")) == {"account": "silver"}
    assert len(server.asked) == 3
    await features.close()


@pytest.mark.parametrize("content", [True, False])
async def test_the_trace_tells_what_failed_and_keeps_facts_only_with_content(
    crm: Path, tmp_path: Path, server: Server, content: bool
) -> None:
    server.status = 500
    async with AsyncExitStack() as stack:
        store = TraceStore.open(tmp_path / "traces.db", settings=RecorderSettings(content=content))
        stack.callback(store.close)
        asked = exchange(user="ann")
        trace = store.begin(asked)
        found = await about(
            Feature(sql(crm, "SELECT plan FROM people WHERE id = :user"), TERMS),
            Feature(http(server), TERMS),
            **{"user": "ann", "tracer": trace},
        )
        trace.finish()
        await store.flush()
        kept = await store.get(trace.id, EVERYTHING.project_id)
    assert found == {"plan": "gold", "account": "nothing"}
    assert kept is not None
    span = next(each for each in kept.spans if each.name == "features")
    attributes = msgspec.json.decode(span.attributes)
    assert attributes["penstock.reason"] == "account: The lookup of account was answered with status 500."
    assert attributes["failed"] == 1
    assert ("gold" in str(attributes)) is content


def test_who_signed_in_is_themselves_whatever_the_request_says() -> None:
    assert base.PERSON == PERSON
    signed_in = Principal(key_id=f"{PERSON}1", name="ann@example.org", role="viewer")
    assert Asker.of(exchange(user="bob", principal=signed_in)).user == "ann@example.org"
    key = Principal(key_id="key_1", name="shop", role="developer")
    assert Asker.of(exchange(user="bob", principal=key)).user == "bob"
    assert Asker.of(exchange()).user == ""


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"source": "sql", "query": "SELECT 1"}, "is missing, and source = 'sql' needs it"),
        ({"source": "http", "url": "https://h/p", "query": "SELECT 1"}, "has no effect with source = 'http'"),
        ({"source": "http", "url": "https://h/p?id=1", "parameters": {"id": "user"}}, "must end before its query"),
        ({"source": "http", "url": "https://h/p", "parameters": {"id": "name"}}, "'user', 'project' or 'key'"),
        ({"source": "sql", "query": "DELETE FROM people"}, "must be a SELECT"),
        ({"source": "sql", "query": "SELECT :name"}, "knows no :name; there are :user, :project and :key"),
        ({"source": "feast", "url": "http://h", "features": ["plan"]}, "must be a view and a feature"),
    ],
)
def test_a_table_that_cannot_work_is_refused(table: dict[str, object], message: str) -> None:
    if "features" in table:
        table = table | {"features": tuple(table["features"])}  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=message):
        FeatureSettings.model_validate(table)
