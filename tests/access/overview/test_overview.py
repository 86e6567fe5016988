"""Figures of a range: exact while every call is read, and still right in sum where only a part of them is."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import call, made, opened

from penstock.access.ledger import Ledger, LedgerEntry, LedgerOutcome
from penstock.access.overview import repository
from penstock.access.overview.histogram import Histogram, bucket
from penstock.access.overview.reading import read_overview
from penstock.access.overview.values import GRIDS, Overview
from penstock.clock import ManualClock
from penstock.exchange import Principal, Usage

NOON = 1_784_116_830_000_000
"""2026-07-15 12:00:30 UTC, between the beginnings of minutes."""
SECOND = 1_000_000
OTHER = Principal(project_id="team-b", key_id="key_b", name="b")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    ledger = opened(tmp_path, clock=clock)
    yield ledger
    ledger.close()


async def shown(ledger: Ledger, clock: ManualClock, **asked: str) -> Overview:
    return await read_overview(ledger, asked.get("range", "hour"), asked.get("project"), clock.now_us())  # type: ignore[arg-type]


@pytest.mark.parametrize("range", ["hour", "day", "week", "month"])
async def test_every_range_has_the_same_sums(ledger: Ledger, clock: ManualClock, range: str) -> None:
    usage = Usage(100, 50, cached_input=20, reasoning=7, cache_write=3, cost_nanos=1_000)
    for status in ("ok", "ok", "error"):
        made(ledger, outcome=LedgerOutcome(status=status, usage=usage))  # type: ignore[arg-type]
    made(ledger, outcome=LedgerOutcome(status="cached", usage=Usage(10, 5, cost_nanos=0), saved_nanos=800))
    made(ledger, outcome=LedgerOutcome(status="ok"))
    clock.advance(90)
    overview = await shown(ledger, clock, range=range)
    total = overview.total
    assert (total.calls, total.errors, total.cached, total.unpriced) == (5, 1, 1, 1)
    assert (total.input, total.cached_input, total.cache_write) == (310, 60, 9)
    assert (total.output, total.reasoning) == (155, 21)
    assert (total.cost_nanos, total.saved_nanos) == (3_000, 800)
    assert not overview.sampled
    assert len(overview.points) == GRIDS[overview.range].count
    assert sum(point.figures.calls for point in overview.points) == 5
    assert (
        overview.points[-1].start_us
        <= clock.now_us()
        < overview.points[-1].start_us + GRIDS[overview.range].step_us
    )


async def test_latency_is_that_of_answers_and_by_model(ledger: Ledger, clock: ManualClock) -> None:
    for model, milliseconds in (("quick", 10), ("quick", 20), ("slow", 3_000)):
        took(ledger, clock, milliseconds, model=model)
    took(ledger, clock, 50_000, status="error", model="slow")
    took(ledger, clock, 1, status="cached", model="quick")
    overview = await shown(ledger, clock)
    by_model = {each.model: each.latency for each in overview.models}
    assert near(by_model["quick"].p50_us, 10_000) and near(by_model["quick"].p99_us, 20_000)
    assert near(by_model["slow"].p50_us, 3_000_000) and near(overview.latency.p50_us, 20_000)


async def test_one_project_s_figures_are_its_own(ledger: Ledger, clock: ManualClock) -> None:
    made(ledger)
    made(ledger, call(principal=OTHER, model="secret-model"))
    clock.advance(1)
    for range in GRIDS:
        theirs = await shown(ledger, clock, range=range, project="team-b")
        assert [each.model for each in theirs.models] == ["secret-model"]
        assert theirs.total.calls == 1
        assert (await shown(ledger, clock, range=range, project="local")).total.calls == 1
        assert (await shown(ledger, clock, range=range)).total.calls == 2
        assert (await shown(ledger, clock, range=range, project="nobody")).total.calls == 0


async def test_calls_in_progress_and_old_ones_do_not_count(ledger: Ledger, clock: ManualClock) -> None:
    made(ledger)
    clock.advance(3_700)
    ledger.reserve(LedgerEntry(call()))
    assert (await shown(ledger, clock)).total.calls == 0
    assert (await shown(ledger, clock, range="day")).total.calls == 1


async def test_more_calls_than_are_read_are_projected(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "PER_SLICE", 10)
    for _ in range(600):  # ten a second
        clock.advance(0.1)
        made(ledger)
    overview = await shown(ledger, clock)
    assert overview.sampled
    assert overview.total.calls == pytest.approx(600, rel=0.15)
    assert overview.total.cost_nanos == pytest.approx(60_000, rel=0.15)
    day = await shown(ledger, clock, range="day")
    assert day.sampled and day.total.calls == 600


@given(st.lists(st.integers(0, 2**38), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentiles_of_a_histogram_are_close(values: list[int], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(lower_of(value), 1)
    ordered = sorted(values)
    exact = next(value for at, value in enumerate(ordered, 1) if at >= share * len(ordered))
    found = histogram.percentile(share)
    assert found is not None and abs(found - exact) <= max(1, exact * 0.016)


@given(st.integers(0, 2**39 - 1))
def test_the_database_sorts_into_the_same_classes(value: int) -> None:
    connection = sqlite3.connect(":memory:")
    assert connection.execute(f"SELECT {bucket(str(value))}").fetchone()[0] == lower_of(value)
    connection.close()


async def test_postgresql_answers_the_same(tmp_path: Path, postgres_url: str, clock: ManualClock) -> None:
    ledger = opened(tmp_path, postgres_url, clock=clock)
    took(ledger, clock, 40)
    overview = await shown(ledger, clock)
    assert overview.total.calls == 1 and near(overview.latency.p95_us, 40_000)
    month = await shown(ledger, clock, range="month")
    assert month.total == overview.total
    ledger.close()


def lower_of(value: int) -> int:
    shift = max(0, value.bit_length() - 6)
    return value >> shift << shift


def near(value: int | None, wanted: int) -> bool:
    return value is not None and abs(value - wanted) <= wanted * 0.02


def took(ledger: Ledger, clock: ManualClock, milliseconds: int, status: str = "ok", model: str = "default") -> None:
    ticket = ledger.reserve(LedgerEntry(call(model=model)))
    clock.advance(milliseconds / 1000)
    ledger.settle(ticket, LedgerOutcome(status=status, usage=Usage(1, 1)))  # type: ignore[arg-type]
