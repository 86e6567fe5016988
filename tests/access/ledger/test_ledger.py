"""Each call has one row, whatever happens to the process, the disk and the database."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from support.ledgers import OK, call, made, opened, rows, sums
from support.postgres_server import PostgresServer

from penstock.access.ledger import Ledger, LedgerEntry, LedgerOutcome
from penstock.access.ledger import journal as journals
from penstock.clock import ManualClock
from penstock.errors import StorageFull
from penstock.exchange import Parameters, Principal, Usage

Open = Callable[..., Ledger]


@pytest.fixture(params=["sqlite", "postgresql"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same ledger as often as it is called, each time with journals of its own machine if it is asked."""
    location = tmp_path / "data" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    ledgers: list[Ledger] = []

    def again(machine: str = "data", **options: object) -> Ledger:
        ledgers.append(opened(tmp_path / machine, location, **options))  # type: ignore[arg-type]
        return ledgers[-1]

    yield again
    for ledger in ledgers:
        ledger.close()


async def test_a_call_has_one_row_with_all_that_is_known(opening: Open) -> None:
    clock = ManualClock()
    ledger = opening(clock=clock)
    who = Principal(project_id="shop", key_id="key_1")
    asked = call("Why?", who, user="ann", app="handbook", release_id="rel_1", parameters=Parameters(max_tokens=64))
    ticket = ledger.reserve(LedgerEntry(asked, 700))
    clock.advance(2)
    usage = Usage(10, 5, cached_input=3, reasoning=2, cache_write=1, cost_nanos=123)
    ledger.settle(ticket, LedgerOutcome(status="ok", usage=usage, served_by="openai/gpt-4.1-mini"))
    ledger.settle(ticket, LedgerOutcome(status="error"))  # the first end counts
    assert await ledger.flush()
    (row,) = rows(ledger.database)
    start = 1_700_000_000_000_000
    assert (row.id >> 8, row.trace_id, row.request_id, row.user) == (start, asked.trace_id, asked.id, "ann")
    assert (row.status, row.started_us, row.ended_us) == ("ok", start, start + 2_000_000)
    assert (row.input, row.cached_input, row.cache_write, row.output, row.reasoning) == (10, 3, 1, 5, 2)
    assert (row.cost_nanos, row.reserved_nanos, row.max_output, row.estimated) == (123, 700, 64, 0)
    with ledger.database.read() as connection:
        known = connection.execute(text("SELECT * FROM dimension WHERE id = :id"), {"id": row.dimension_id}).one()
    assert tuple(known)[1:] == (
        "shop", "key_1", "handbook", "default", "openai/gpt-4.1-mini", "openai", "chat", "live", "rel_1",
    )  # fmt: skip


async def test_a_call_that_asks_for_more_than_a_row_can_hold_is_kept_without_that(opening: Open) -> None:
    ledger = opening()
    asked = call(parameters=Parameters(max_tokens=1 << 53))
    ledger.settle(ledger.reserve(LedgerEntry(asked, 1 << 70)), OK)
    await ledger.flush()
    (row,) = rows(ledger.database)
    assert (row.status, row.reserved_nanos, row.max_output) == ("ok", None, None)


async def test_sums_of_what_absurd_calls_reserved_fit_a_column(opening: Open) -> None:
    ledger = opening()
    for power in range(30, 70):
        ledger.settle(ledger.reserve(LedgerEntry(call(), 1 << power)), LedgerOutcome(status="cancelled"))
    assert await ledger.flush()
    assert len(rows(ledger.database)) == 40
    assert sums(ledger.database)["open_nanos"] == (1 << 45) - (1 << 30)


async def test_the_end_of_a_long_call_completes_its_row(opening: Open) -> None:
    ledger = opening()
    ticket = ledger.reserve(LedgerEntry(call(), 700))
    await ledger.flush()
    (begun,) = rows(ledger.database)
    assert (begun.status, begun.ended_us, begun.cost_nanos) == ("reserved", None, None)
    assert sums(ledger.database)["calls"] == 0
    ledger.settle(ticket, OK)
    await ledger.flush()
    (row,) = rows(ledger.database)
    assert (row.status, row.cost_nanos, row.digest) == ("ok", 100, begun.digest)
    assert begun.digest is not None
    assert sums(ledger.database)["calls"] == 1


async def test_unknown_stays_unknown(opening: Open) -> None:
    ledger = opening()
    made(ledger, outcome=LedgerOutcome(status="ok"))
    made(ledger, outcome=LedgerOutcome(status="ok", usage=Usage(-5, 1, cost_nanos=3)))
    made(ledger, outcome=LedgerOutcome(status="ok", usage=Usage(10**30, 1)))
    made(ledger, outcome=LedgerOutcome(status="ok", usage=Usage(7, 1)))
    await ledger.flush()
    assert [(row.input, row.cost_nanos) for row in rows(ledger.database)] == [(None, None)] * 3 + [(7, None)]
    total = sums(ledger.database)
    assert (total["calls"], total["unpriced"], total["cost_nanos"], total["open_nanos"]) == (4, 4, 0, 2000)


OUTCOMES = st.builds(
    LedgerOutcome,
    status=st.sampled_from(["ok", "error", "cancelled", "cached"]),
    usage=st.none()
    | st.builds(
        Usage,
        st.integers(0, 10**9),
        st.integers(0, 10**6),
        cached_input=st.none() | st.integers(0, 10**6),
        cache_write=st.none() | st.integers(0, 10**6),
        reasoning=st.none() | st.integers(0, 10**6),
        cost_nanos=st.none() | st.integers(0, 10**12),
        estimated=st.booleans(),
    ),
    served_by=st.sampled_from(["", "openai/a", "anthropic/b", "tiny"]),
    saved_nanos=st.none() | st.integers(0, 10**9),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(OUTCOMES, st.sampled_from([None, "ann", "böb"]), st.integers(0, 5000), st.booleans()), max_size=30
    )
)
async def test_the_sums_are_those_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[LedgerOutcome, str | None, int, bool]]
) -> None:
    """Whatever calls come, in whatever batches, over whatever hours: no token and no nano-dollar twice or never."""
    clock = ManualClock()
    ledger = opened(tmp_path_factory.mktemp("ledger"), clock=clock)
    for outcome, user, minutes, flush in calls:
        ticket = ledger.reserve(LedgerEntry(call(user=user), 9))
        if flush:
            ledger._writer.flush(5)
        ledger.settle(ticket, outcome)
        clock.advance(60 * minutes)
    await ledger.flush()
    usages = [(outcome.usage or Usage(0), user) for outcome, user, _, _ in calls]
    for table, of in (("hourly", usages), ("daily_user", [each for each in usages if each[1]])):
        total = sums(ledger.database, table)
        assert total["calls"] == len(of)
        for name in ("input", "output", "cached_input", "cache_write", "reasoning", "cost_nanos"):
            assert total[name] == sum(getattr(usage, name) or 0 for usage, _ in of)
    assert sums(ledger.database)["saved_nanos"] == sum(outcome.saved_nanos or 0 for outcome, *_ in calls)
    assert len(rows(ledger.database)) == len(calls)
    ledger.close()


async def test_what_stood_only_in_the_journal_is_taken_in_once(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    made(ledger)
    await ledger.flush()
    writer = ledger._writer
    writer.close()  # from here on nothing reaches the database
    made(ledger)
    ledger.reserve(LedgerEntry(call(), 300))
    ledger._place.journal.close()
    ledger.database.close()
    for _ in range(3):
        again = opened(tmp_path)
        assert [row.status for row in rows(again.database)] == ["ok", "ok", "reconciled"]
        total = sums(again.database)
        assert (total["calls"], total["cost_nanos"], total["reconciled"]) == (3, 200, 1)
        assert (total["unpriced"], total["open_nanos"], total["busy_us"] >= 0) == (1, 300, True)
        again.close()


async def test_a_journal_that_was_half_taken_in_changes_nothing(tmp_path: Path) -> None:
    """The process dies after the commit and before the journal is emptied; records come again, in any order."""
    ledger = opened(tmp_path)
    ticket = ledger.reserve(LedgerEntry(call(), 300))
    await ledger.flush()
    ledger.settle(ticket, OK)
    await ledger.flush()
    kept = list(ledger._place.journal.records())
    ledger.close()
    journal = journals.Journal.open(tmp_path / "ledger-0.journal")
    assert journal is not None
    for record in reversed(kept):
        journal.append(record)
    journal.close()
    again = opened(tmp_path)
    assert [(row.status, row.cost_nanos) for row in rows(again.database)] == [("ok", 100)]
    assert sums(again.database)["calls"] == 1
    again.close()


async def test_a_journal_with_the_end_alone_finds_the_beginning_in_the_database(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    asked = call(user="ann", parameters=Parameters(max_tokens=64))
    ticket = ledger.reserve(LedgerEntry(asked, 300))
    await ledger.flush()
    ledger._writer.close()  # from here on nothing reaches the database
    ledger.settle(ticket, OK)
    ledger._place.journal.close()
    ledger.database.close()
    again = opened(tmp_path)
    (row,) = rows(again.database)
    assert (row.status, row.cost_nanos, row.reserved_nanos, row.max_output) == ("ok", 100, 300, 64)
    assert (row.trace_id, row.request_id, row.user) == (asked.trace_id, asked.id, "ann")
    assert sums(again.database, "daily_user")["cost_nanos"] == 100
    again.close()


async def test_a_journal_of_an_earlier_version_is_taken_in(tmp_path: Path) -> None:
    """Its records were whole rows: twice for a call that is over."""
    opened(tmp_path).close()
    journal = journals.Journal.open(tmp_path / "ledger-0.journal")
    assert journal is not None
    for number, status in ((1, "reserved"), (1, "ok"), (2, "reserved")):
        started, over = 1_700_000_000_000_000 + number, status == "ok"
        known = (10, None, None, 5, None, 123) if over else (None,) * 6
        begun = (started << 8, 77, f"{number:032x}", f"req_{number}", "ann", status, started)
        row = (*begun, started + 5 if over else None, *known, 700, None, "", 0, 0, 64)
        journal.append(msgspec.msgpack.encode(row))
    dimension = (77, "shop", "key_1", "", "default", "openai/a", "openai", "chat", "live", "rel_1")
    journal.append(msgspec.msgpack.encode(dimension))
    journal.append(b"\xc1")
    journal.append(msgspec.msgpack.encode((1, 2)))
    journal.close()
    again = opened(tmp_path)
    one, two = rows(again.database)
    assert (one.status, one.input, one.output, one.cost_nanos, one.ended_us - one.started_us) == (
        "ok",
        10,
        5,
        123,
        5,
    )
    assert (two.status, two.request_id, two.reserved_nanos, two.max_output) == ("reconciled", "req_2", 700, 64)
    with again.database.read() as connection:
        assert connection.execute(text("SELECT project_id, served_by FROM dimension")).one() == ("shop", "openai/a")
    total = sums(again.database, "daily_user")
    assert (total["calls"], total["cost_nanos"], total["open_nanos"]) == (2, 123, 700)
    again.close()


async def test_the_open_calls_of_a_live_process_are_left_alone(opening: Open) -> None:
    first = opening()
    ticket = first.reserve(LedgerEntry(call(), 300))
    await first.flush()
    second = opening()
    made(second)
    await second.flush()
    assert sorted(row.status for row in rows(second.database)) == ["ok", "reserved"]
    first.settle(ticket, OK)
    await first.flush()
    assert [row.status for row in rows(second.database)] == ["ok", "ok"]
    assert sums(second.database)["calls"] == 2


async def test_several_processes_never_make_the_same_id(opening: Open) -> None:
    clock = ManualClock()
    ledgers = [opening(clock=clock) for _ in range(3)]
    for _ in range(50):
        for ledger in ledgers:
            made(ledger)
    for ledger in ledgers:
        await ledger.flush()
    assert len(rows(ledgers[0].database)) == 150
    assert sums(ledgers[0].database)["calls"] == 150


async def test_ids_go_on_though_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = opened(tmp_path, clock=clock)
    made(ledger)
    ledger.close()
    clock.advance(-3600)
    again = opened(tmp_path, clock=clock)
    made(again)
    await again.flush()
    assert len(rows(again.database)) == 2
    again.close()


async def test_a_database_that_refuses_is_asked_again_and_gets_all_of_it(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    made(ledger)
    await ledger.flush()
    blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    with ledger.database.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    await ledger.database.write(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=1"))
    blocker.execute("BEGIN IMMEDIATE")
    for _ in range(10):
        made(ledger)
    assert not await ledger.flush(0.5)
    assert ledger.waiting() == 10
    blocker.execute("ROLLBACK")
    blocker.close()
    assert await ledger.flush()
    assert len(rows(ledger.database)) == 11
    assert sums(ledger.database)["calls"] == 11
    ledger.close()


async def test_a_full_journal_refuses_calls_and_not_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "HALF_BYTES", 8192)
    monkeypatch.setattr(journals, "SPARE_BYTES", 4096)
    ledger = opened(tmp_path)
    blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    tickets = []
    with pytest.raises(StorageFull, match=r"no room for another call: .* Calls are refused until"):
        for _ in range(1000):
            tickets.append(ledger.reserve(LedgerEntry(call(), 1)))
    assert len(tickets) > 10
    for ticket in tickets:
        ledger.settle(ticket, OK)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert await ledger.flush()
    made(ledger)
    await ledger.flush()
    assert {row.status for row in rows(ledger.database)} == {"ok"}
    assert sums(ledger.database)["calls"] == len(tickets) + 1
    ledger.close()


async def test_power_waits_for_the_disk_and_process_does_not(tmp_path: Path) -> None:
    quick = opened(tmp_path / "quick")
    assert not quick.must_wait(quick.reserve(LedgerEntry(call())))
    quick.close()
    careful = opened(tmp_path / "careful", durability="power")
    tickets = [careful.reserve(LedgerEntry(call())) for _ in range(20)]
    assert careful.must_wait(tickets[-1])
    await asyncio.gather(*(careful.committed(ticket) for ticket in tickets))
    assert not careful.must_wait(tickets[-1])
    with sqlite3.connect(tmp_path / "careful" / "ledger.db") as connection:
        assert connection.execute("SELECT count(*) FROM call WHERE status = 'reserved'").fetchone() == (20,)
    careful.close()


async def test_power_tells_who_waits_that_the_disk_refuses(tmp_path: Path) -> None:
    ledger = opened(tmp_path, durability="power")

    def limit(connection: object) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]

    await ledger.database.write(limit)
    with pytest.raises(StorageFull, match="disk is full"):
        for number in range(1000):
            await ledger.committed(ledger.reserve(LedgerEntry(call(user=f"{number}" * 200))))
    await ledger.database.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert await ledger.flush()
    ledger.close()


async def test_calls_of_many_threads_all_arrive(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    threads = [threading.Thread(target=lambda: [made(ledger) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await ledger.flush()
    assert (len(rows(ledger.database)), sums(ledger.database)["calls"]) == (800, 800)
    ledger.close()


async def test_text_that_databases_refuse_is_made_harmless(opening: Open) -> None:
    ledger = opening()
    made(ledger, call(user="a\0b\ud800c" + "x" * 1000, model="m\0"))
    await ledger.flush()
    (row,) = rows(ledger.database)
    assert row.user == "ab?c" + "x" * 251


async def test_a_session_that_is_lost_costs_no_call_and_counts_none_twice(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """PostgreSQL restarts while calls are in progress, and another process takes them for lost."""
    ledger = opened(tmp_path / "one", postgres_url)
    ticket = ledger.reserve(LedgerEntry(call(), 300))
    assert await ledger.flush()
    postgres_server.drop_connections()
    other = opened(tmp_path / "two", postgres_url)
    assert [row.status for row in rows(other.database)] == ["reconciled"]
    made(ledger)
    ledger.settle(ticket, OK)
    made(other)
    assert await ledger.flush()
    assert await other.flush()
    assert [row.status for row in rows(other.database)] == ["ok", "ok", "ok"]
    total = sums(other.database)
    assert (total["calls"], total["reconciled"], total["cost_nanos"], total["open_nanos"]) == (3, 0, 300, 0)
    ledger.close()
    other.close()
