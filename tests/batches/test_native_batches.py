"""Batches that a vendor works on: handed over once, looked at, settled at their price, found after a restart."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.batching import begin, content, counts, ended, line, lines
from support.gateway_site import Site, site
from support.served_routes import model, parts
from support.vendor_batches import BatchVendor

from penstock.access.ledger import Ledger, open_ledger
from penstock.access.limits import Limits
from penstock.access.limits.local import LocalStore
from penstock.batches import native
from penstock.config import AppSettings, Settings
from penstock.config.batches import BatchSettings
from penstock.config.limits import LimitSettings
from penstock.config.prices import PriceSettings
from penstock.jobs import worker
from penstock.platform.models import build_registry
from penstock.storage.location import open_database

NATIVE = BatchSettings(native=("big",))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the vendor often."""
    monkeypatch.setattr(native, "SOONEST", 0.02)
    monkeypatch.setattr(native, "LATEST", 0.02)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(worker, "FIRST_WAIT", 0.02)


@asynccontextmanager
async def served(
    folder: Path, vendor: BatchVendor, limits: Limits | None = None, batches: BatchSettings = NATIVE
) -> AsyncIterator[tuple[Site, Ledger]]:
    settings = Settings(
        app=AppSettings(name="docs"),
        models={"big": model(use="corp/large", base_url=vendor.base_url)},
        knowledge={},
        prices={"corp/large": PriceSettings(input=10.0, output=100.0, batch=0.5)},
    )
    ledger = open_ledger(open_database(folder, "ledger"), folder)
    async with site(
        folder, *build_registry(settings, parts()), batches=batches, ledger=ledger, limits=limits
    ) as it:
        yield it, ledger
    ledger.close()


def calls(folder: Path) -> list[tuple[str, int, int | None]]:
    """The rows of the ledger: status, whether by a batch, nano-dollars."""
    database = sqlite3.connect(folder / "ledger.db")
    rows = database.execute("SELECT status, batch, cost_nanos FROM call ORDER BY id").fetchall()
    database.close()
    return rows


async def test_a_vendor_does_the_work_at_its_price(tmp_path: Path) -> None:
    async with BatchVendor() as vendor, served(tmp_path, vendor) as (it, ledger):
        client = it.client()
        batch = await begin(client, [*lines(5), line("wrong", method="PUT")])
        there = await vendor.until_handed_over()
        asked = vendor.asked(there)
        assert [each["custom_id"] for each in asked] == [f"line-{number}" for number in range(1, 6)]
        assert {each["body"]["model"] for each in asked} == {"large"}
        assert vendor.batches[there]["metadata"] == {"penstock_batch": batch.id}
        vendor.finish(there, fails=1)
        batch = await ended(client, batch.id)
        assert (batch.status, counts(batch)) == ("completed", (6, 4, 2))
        answers = await content(client, batch.output_file_id)
        assert [each["custom_id"] for each in answers] == [f"line-{number}" for number in range(4)]
        assert answers[2]["response"]["body"]["choices"][0]["message"]["content"] == "number 2"
        failed, wrong = await content(client, batch.error_file_id)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("line-4", 400)
        assert wrong["error"]["code"] == "invalid_method"
        assert await ledger.flush()
        half = (100 * 10_000 + 10 * 100_000) // 2
        assert sorted(calls(tmp_path)) == [("error", 1, 0), *[("ok", 1, half)] * 4]
        assert vendor.chats == 0


async def test_a_restart_finds_the_batch_again(tmp_path: Path) -> None:
    async with BatchVendor() as vendor:
        vendor.forgets_to_answer = True
        async with served(tmp_path, vendor) as (it, _):
            id = (await begin(it.client(), lines(3))).id
            await vendor.until_handed_over()
        async with served(tmp_path, vendor) as (it, _):
            (there,) = vendor.batches
            vendor.finish(there)
            assert counts(await ended(it.client(), id)) == (3, 3, 0)
        assert len(vendor.batches) == 1


async def test_a_vendor_that_is_away_is_asked_again(tmp_path: Path) -> None:
    async with BatchVendor() as vendor, served(tmp_path, vendor) as (it, _):
        vendor.refuses = [500, 503]
        batch = await begin(it.client(), lines(2))
        there = await vendor.until_handed_over()
        vendor.refuses = [502]
        vendor.finish(there)
        assert counts(await ended(it.client(), batch.id)) == (2, 2, 0)


async def test_what_the_vendor_refuses_or_leaves_out(tmp_path: Path) -> None:
    async with BatchVendor() as vendor, served(tmp_path, vendor) as (it, _):
        client = it.client()
        vendor.refuses = [400]
        batch = await ended(client, (await begin(client, lines(2))).id)
        assert (batch.status, counts(batch)) == ("completed", (2, 0, 2))
        (first, _) = await content(client, batch.error_file_id)
        assert "answered with status 400: not now" in first["error"]["message"]
        batch = await begin(client, lines(3))
        vendor.finish(await vendor.until_handed_over(), omits=1, status="expired")
        batch = await ended(client, batch.id)
        (error,) = await content(client, batch.error_file_id)
        assert (error["custom_id"], error["error"]["code"]) == ("line-0", "batch_expired")


async def test_a_batch_that_is_cancelled_is_cancelled_there(tmp_path: Path) -> None:
    async with BatchVendor() as vendor, served(tmp_path, vendor) as (it, _):
        client = it.client()
        batch = await begin(client, lines(5))
        await vendor.until_handed_over()
        await client.batches.cancel(batch.id)
        batch = await ended(client, batch.id)
        assert (batch.status, counts(batch)) == ("cancelled", (5, 3, 2))
        codes = [each["error"]["code"] for each in await content(client, batch.error_file_id)]
        assert codes == ["batch_cancelled"] * 2


async def test_a_budget_is_asked_before_a_batch_is_handed_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "limits.counts")
    limits = Limits(store)
    limits.use([LimitSettings(usd=0.01, window="day", per="all")])
    async with BatchVendor() as vendor, served(tmp_path, vendor, limits) as (it, _):
        client = it.client()
        batch = await ended(client, (await begin(client, lines(5))).id)
        assert counts(batch) == (5, 0, 5)
        assert {each["error"]["code"] for each in await content(client, batch.error_file_id)} == {
            "insufficient_quota"
        }
        assert not vendor.batches
        limits.use([LimitSettings(usd=1.0, window="day", per="all")])
        batch = await begin(client, lines(5))
        vendor.finish(await vendor.until_handed_over())
        await ended(client, batch.id)
        (used,) = await limits.usage()
        assert used.used == 5 * (100 * 10_000 + 10 * 100_000) // 2, "settled at what it cost"
    await store.close()


async def test_others_are_asked_line_by_line(tmp_path: Path) -> None:
    for number, (settings, requests) in enumerate(
        [
            (BatchSettings(), lines(2)),
            (BatchSettings(native=("small-*",)), lines(2)),
            (NATIVE, [line("a"), line("b", model="corp/large")]),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with BatchVendor() as vendor, served(folder, vendor, batches=settings) as (it, _):
            assert counts(await ended(it.client(), (await begin(it.client(), requests)).id)) == (2, 2, 0)
            assert (vendor.chats, vendor.batches) == (2, {})
