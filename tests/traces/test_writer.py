"""Traces never hold up a request, and what becomes of them when the disk or the process fails is accounted for."""

import asyncio
import logging
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection
from support.tracing import EVERYTHING, answered_trace, exchange, record

from penstock.clock import SYSTEM_CLOCK
from penstock.exchange import Usage
from penstock.storage.sqlite import SqliteDatabase
from penstock.traces.recorder import ActiveTrace, RecorderSettings
from penstock.traces.span import TraceFilter, TraceRecord
from penstock.traces.store import TraceStore
from penstock.traces.writer import TraceWriter

SUPPORT = Path(__file__).resolve().parents[1]


class Disk:
    """A trace store on a disk that can be filled up: SQLite may use no more pages than it has."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.database = SqliteDatabase(path, "traces", durable=False)
        self.store = TraceStore(self.database, SYSTEM_CLOCK, RecorderSettings(), max_bytes)

    async def fill(self) -> None:
        await self.database.write(lambda connection: limit_pages(connection, 1))  # SQLite takes those it has

    async def free(self) -> None:
        await self.database.write(lambda connection: limit_pages(connection, 1 << 30))

    async def until_it_fails(self) -> None:
        while not self.store.stats().failing:
            assert not await self.store.flush(0.02), "the disk took it all"


def limit_pages(connection: Connection, pages: int) -> None:
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


@pytest.fixture
async def open_disk(tmp_path: Path) -> AsyncIterator[Callable[[int], Disk]]:
    disks: list[Disk] = []

    def make(max_bytes: int) -> Disk:
        disks.append(Disk(tmp_path / f"traces-{len(disks)}.db", max_bytes))
        return disks[-1]

    yield make
    for disk in disks:
        await asyncio.to_thread(disk.store.close)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if "not being stored" in entry.getMessage()]


async def test_a_full_disk_loses_nothing_that_fits_into_memory(
    open_disk: Callable[[int], Disk], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    disk = open_disk(64 << 20)
    before = record(disk.store)
    await disk.store.flush()
    await disk.fill()
    waiting = {record(disk.store) for _ in range(600)}
    await disk.until_it_fails()
    await disk.store.flush(0.05)
    stats = disk.store.stats()
    assert "disk is full" in stats.failing
    assert (stats.written, stats.dropped, stats.queued) == (1, 0, 600)
    assert [trace.id for trace in (await disk.store.list(EVERYTHING)).traces] == [before]
    assert len(refusals(caplog)) == 1
    await disk.free()
    assert await disk.store.flush()
    stats = disk.store.stats()
    assert (stats.written, stats.dropped, stats.queued, stats.queued_bytes, stats.failing) == (601, 0, 0, 0, "")
    assert await disk.store.count(EVERYTHING) == 601
    listed = {trace.id for trace in (await disk.store.list(EVERYTHING, 500)).traces}
    assert listed < waiting
    assert [entry.getMessage() for entry in caplog.records][-1] == "traces are being stored again"


async def test_what_does_not_fit_is_dropped_and_counted(open_disk: Callable[[int], Disk]) -> None:
    disk = open_disk(100_000)
    await disk.fill()
    record(disk.store, "q" * 20_000)
    await disk.until_it_fails()
    for _ in range(300):
        record(disk.store, "q" * 2000)
    stats = disk.store.stats()
    assert stats.queued_bytes <= 100_000
    assert 0 < stats.dropped < 300
    assert stats.queued + stats.dropped == 301
    await disk.free()
    assert await disk.store.flush()
    assert disk.store.stats().dropped == stats.dropped
    assert await disk.store.count(EVERYTHING) == 301 - stats.dropped
    record(disk.store)
    assert await disk.store.flush()
    assert await disk.store.count(EVERYTHING) == 302 - stats.dropped


async def test_a_store_closes_on_a_full_disk(open_disk: Callable[[int], Disk]) -> None:
    disk = open_disk(64 << 20)
    await disk.fill()
    for _ in range(300):
        record(disk.store, "q" * 2000)
    await disk.until_it_fails()
    await asyncio.to_thread(disk.store.close)
    assert (disk.store.stats().queued, disk.store.stats().dropped) == (0, 300)


async def test_one_trace_that_cannot_be_stored_costs_only_itself(
    open_disk: Callable[[int], Disk], caplog: pytest.LogCaptureFixture
) -> None:
    disk = open_disk(64 << 20)
    trace = answered_trace(disk.store)
    good = [record(disk.store)]
    trace.finish(usage=Usage(2**70))  # more than SQLite can count
    good.append(record(disk.store))
    assert await disk.store.flush()
    assert {found.id for found in (await disk.store.list(EVERYTHING)).traces} == set(good)
    assert (disk.store.stats().written, disk.store.stats().dropped) == (2, 1)
    assert f"trace {trace.id} cannot be stored" in caplog.text


class Unrecordable:
    """A request that is over, but has no rows."""

    id = "no rows"
    size = 100

    def record(self) -> TraceRecord:
        raise ValueError


async def test_one_trace_that_has_no_rows_costs_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = SqliteDatabase(tmp_path / "traces.db", "traces", durable=False)
    writer = TraceWriter(database, 1 << 20)
    kept = [ActiveTrace(exchange(), SYSTEM_CLOCK, RecorderSettings(), writer.put) for _ in range(40)]
    for number, trace in enumerate(kept):
        trace.finish()
        if number % 10 == 0:
            writer.put(Unrecordable())
    assert await asyncio.to_thread(writer.flush, 5)
    stats = writer.stats()
    assert (stats.written, stats.dropped, stats.queued, stats.queued_bytes) == (40, 4, 0, 0)
    assert caplog.text.count("trace no rows could not be recorded") == 4
    await asyncio.to_thread(writer.close)
    await asyncio.to_thread(database.close)


async def test_closing_stores_what_waits(tmp_path: Path) -> None:
    store = TraceStore.open(tmp_path / "traces.db")
    recorded = {record(store) for _ in range(700)}
    store.close()
    record(store)
    assert (store.stats().written, store.stats().dropped) == (700, 1)
    with sqlite3.connect(tmp_path / "traces.db") as connection:
        assert {row[0] for row in connection.execute("SELECT id FROM trace")} == recorded
        assert connection.execute("SELECT count(*) FROM span").fetchone() == (1400,)


async def test_finishing_from_many_threads_loses_nothing(tmp_path: Path) -> None:
    store = TraceStore.open(tmp_path / "traces.db")

    def work(project: str) -> None:
        for _ in range(100):
            record(store, project_id=project)

    await asyncio.gather(*(asyncio.to_thread(work, f"p{number % 3}") for number in range(6)))
    assert await store.flush()
    counts = [await store.count(TraceFilter(project_id=f"p{number}")) for number in range(3)]
    assert counts == [200, 200, 200]
    store.close()


def test_the_store_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    promised: set[str] = set()
    for _ in range(6):
        environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
        command = [sys.executable, "-m", "support.trace_child", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout is not None
            for _ in range(random.randint(1, 30)):
                promised.update(child.stdout.readline().split())
            child.kill()
            *whole, _ = child.stdout.read().split("\n")  # the last line may be half written
            promised.update(" ".join(whole).split())
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            spans = dict(connection.execute("SELECT trace_key, count(*) FROM span GROUP BY trace_key"))
            stored = dict(connection.execute("SELECT id, key FROM trace"))
        connection.close()
        assert promised <= stored.keys()
        assert spans == dict.fromkeys(stored.values(), 2)
    assert len(promised) > 6 * 30
    store = TraceStore.open(path)
    latest = store.begin(exchange())
    latest.finish()
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO trace_text(trace_text) VALUES ('integrity-check')")
        assert connection.execute("SELECT id FROM trace ORDER BY key DESC LIMIT 1").fetchone() == (latest.id,)
    connection.close()
