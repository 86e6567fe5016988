"""Costs over HTTP: sums by what one asks for, for those who may see them."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from support.gateway_site import Site, site
from support.keyed_site import OTHER, keyed_site
from support.ledgers import call, made, opened

from penstock.access.ledger import Ledger, LedgerOutcome
from penstock.clock import ManualClock
from penstock.exchange import Principal, Usage

HOUR = 3600
START = 1_767_225_600  # 2026-01-01T00:00:00Z, a Thursday


def ok(cost: int | None, tokens: int = 10, served_by: str = "openai/gpt-4.1") -> LedgerOutcome:
    return LedgerOutcome(status="ok", usage=Usage(tokens, 1, cost_nanos=cost), served_by=served_by)


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """Three days: two projects, two models, two people, one of them without a name."""
    clock = ManualClock(START * 1_000_000)
    ledger = opened(tmp_path / "ledger", clock=clock)
    shop, lab = Principal(project_id="local", key_id="key_a"), Principal(project_id=OTHER, key_id="key_b")
    for _ in range(3):
        made(ledger, call(principal=shop, model="big", user="ann", app="handbook", release_id="rel_1"), ok(100))
        clock.advance(5 * HOUR)
        made(ledger, call(principal=shop, model="small"), ok(10, served_by="anthropic/haiku"))
        made(ledger, call(principal=lab, model="big", user="bob"), ok(1000))
        clock.advance(19 * HOUR)
    made(ledger, call(principal=lab, model="tiny"), ok(None, served_by="smollm2"))
    yield ledger
    ledger.close()


@pytest_asyncio.fixture
async def it(tmp_path: Path, ledger: Ledger) -> AsyncIterator[Site]:
    async with site(tmp_path, ledger=ledger) as running:
        yield running


ALL = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-05T00:00:00Z"}


async def costs(it: Site, **query: str) -> Any:
    status, body, _ = await it.get(f"/api/v1/costs?{urlencode(ALL | query)}")
    assert status == 200, body
    return body


async def by(it: Site, groups: str, **query: str) -> dict[tuple[str, ...], int]:
    body = await costs(it, by=groups, **query)
    return {tuple(each["by"].values()): each["sums"]["cost_nanos"] for each in body["data"]}


async def test_the_total(it: Site) -> None:
    body = await costs(it)
    assert (body["object"], body["data"], body["truncated"]) == ("costs", [], False)
    total = body["total"]
    assert (total["calls"], total["cost_nanos"], total["unpriced"]) == (10, 3330, 1)
    assert (total["input"], total["output"]) == (100, 10)
    assert (body["since"], body["until"]) == ("2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z")


async def test_every_group_and_several_at_once(it: Site) -> None:
    assert await by(it, "project") == {(OTHER,): 3000, ("local",): 330}
    assert await by(it, "project,model") == {
        (OTHER, "big"): 3000, ("local", "big"): 300, ("local", "small"): 30, (OTHER, "tiny"): 0,
    }  # fmt: skip
    assert await by(it, "key") == {("key_b",): 3000, ("key_a",): 330}
    assert await by(it, "app") == {("",): 3030, ("handbook",): 300}
    assert await by(it, "release") == {("",): 3030, ("rel_1",): 300}
    assert await by(it, "target") == {("openai/gpt-4.1",): 3300, ("anthropic/haiku",): 30, ("smollm2",): 0}
    assert await by(it, "provider") == {("openai",): 3300, ("anthropic",): 30, ("local",): 0}
    assert await by(it, "user") == {("bob",): 3000, ("ann",): 300}
    assert await by(it, "day") == {
        ("2026-01-01",): 1110,
        ("2026-01-02",): 1110,
        ("2026-01-03",): 1110,
        ("2026-01-04",): 0,
    }
    assert await by(it, "day,model", model="small") == {
        ("2026-01-01", "small"): 10, ("2026-01-02", "small"): 10, ("2026-01-03", "small"): 10,
    }  # fmt: skip


async def test_filters_and_times(it: Site) -> None:
    assert (await costs(it, model="big", key="key_a"))["total"]["cost_nanos"] == 300
    assert (await costs(it, user="bob"))["total"]["cost_nanos"] == 3000
    assert (await costs(it, project=OTHER, provider="local"))["total"]["calls"] == 1
    # From the middle of the first day to that of the second: hours at both ends, none of them twice.
    part = await costs(it, since="2026-01-01T04:30:00Z", until="2026-01-02T04:30:00Z")
    assert (part["total"]["cost_nanos"], part["since"], part["until"]) == (
        1110, "2026-01-01T04:00:00Z", "2026-01-02T05:00:00Z",
    )  # fmt: skip
    whole = await costs(it, since="2026-01-01T04:00:00Z", until="2026-01-03T01:00:00Z")
    assert whole["total"]["cost_nanos"] == 1010 + 1110 + 100


async def test_a_series(it: Site) -> None:
    body = await costs(it, by="model", every="day", project="local")
    assert [(each["start"][:10], each["by"]["model"], each["sums"]["cost_nanos"]) for each in body["data"]] == [
        (f"2026-01-0{day}", model, cost) for day in (1, 2, 3) for model, cost in (("big", 100), ("small", 10))
    ]
    hours = await costs(it, every="hour", model="small")
    assert [each["start"] for each in hours["data"]] == [f"2026-01-0{day}T05:00:00Z" for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("by=colour", 400, "Costs are not told apart by 'colour'. Use project, key,"),
        ("by=day&every=day", 400, "Days are told apart twice"),
        ("by=user&every=hour", 400, "Users are counted by the day"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", 400, "'since' is not before 'until'"),
        ("since=yesterday", 400, "since"),
        ("modell=big", 400, "modell"),
        ("every=year", 400, "year"),
    ],
)
async def test_what_cannot_be_asked_is_said(it: Site, query: str, status: int, message: str) -> None:
    found, body, _ = await it.get(f"/api/v1/costs?{query}")
    assert found == status
    assert message in body["error"]["message"]


async def test_a_tenant_sees_its_own_and_no_other(tmp_path: Path, ledger: Ledger) -> None:
    async with keyed_site(tmp_path / "site") as it:
        await it.stop()
        it.services = dataclasses.replace(it.services, ledger=ledger)
        await it.start()
        own = await it.secret("viewer of the other", "viewer", OTHER)
        admin = await it.secret("owner of the other", "owner", OTHER)
        server = await it.secret("owner of the server", "owner")
        viewer = await it.secret("viewer of the server", "viewer")
        path = f"/api/v1/costs?by=project&{urlencode(ALL)}"
        for key, expected in (
            (own, {OTHER: 3000}),
            (admin, {OTHER: 3000}),
            (viewer, {"local": 330}),
            (server, {OTHER: 3000, "local": 330}),
        ):
            answer = await it.ask("GET", path, key)
            found = {each["by"]["project"]: each["sums"]["cost_nanos"] for each in answer.json["data"]}
            assert found == expected
            assert answer.json["total"]["cost_nanos"] == sum(expected.values())
        for key in (own, admin):
            answer = await it.ask("GET", f"{path}&project=local", key)
            assert (answer.status, "330" in answer.body) == (403, False)
        answer = await it.ask("GET", "/api/v1/costs/advice?project=local", own)
        assert answer.status == 403
