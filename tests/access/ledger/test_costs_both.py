"""The same questions to the same calls, on SQLite and on PostgreSQL: the same answers."""

import itertools
from pathlib import Path

import pytest
from support.ledgers import call, opened

from penstock.access.advice.advice import Advice, Evidence, read_advice
from penstock.access.costs.reading import read_costs
from penstock.access.costs.repository import Question
from penstock.access.costs.values import CostFilter, CostReport, Group
from penstock.access.ledger import Ledger, LedgerEntry, LedgerOutcome
from penstock.clock import ManualClock
from penstock.errors import InvalidRequest
from penstock.exchange import Message, Parameters, Principal, Usage

START_US = 1_767_225_600_000_000
GROUPS: list[tuple[Group, ...]] = [
    (), ("project",), ("model", "key"), ("target",), ("day",), ("user",), ("day", "user", "model"), ("app",),
]  # fmt: skip


async def filled(ledger: Ledger, clock: ManualClock) -> None:
    """Three hundred calls of every kind over three days."""
    kinds = itertools.cycle(["ok", "ok", "error", "cancelled", "cached"])
    for number, kind in zip(range(300), kinds, strict=False):
        who = Principal(project_id=f"p{number % 3}", key_id=f"k{number % 4}")
        messages = (Message("system", "Be brief. " * 600), Message("user", f"question {number % 6}"))
        asked = call(
            principal=who,
            model=f"m{number % 2}",
            messages=messages,
            user=f"u{number % 5}" if number % 2 else None,
            app="handbook" if number % 7 == 0 else "",
            parameters=Parameters(max_tokens=500),
        )
        ticket = ledger.reserve(LedgerEntry(asked, 5000))
        clock.advance(number % 11)
        usage = Usage(100 + number, number % 50, cost_nanos=None if number % 13 == 0 else 10 * number)
        ledger.settle(ticket, LedgerOutcome(status=kind, usage=usage, served_by=f"v/m{number % 2}"))  # type: ignore[arg-type]
        clock.advance(22 * 3600 if number % 100 == 99 else 20)
    assert await ledger.flush()


async def answers(ledger: Ledger) -> tuple[list[CostReport], tuple[Advice, ...]]:
    end = START_US + 3 * 86_400_000_000
    reports = []
    for by, project, (since, until) in itertools.product(
        GROUPS, (None, "p1"), ((START_US, end), (START_US + 20_000_000_000, end - 50_000_000_000))
    ):
        wanted = CostFilter(project_id=project, since_us=since, until_us=until)
        reports.append(await read_costs(ledger, Question(wanted=wanted, by=by)))
        if "day" not in by:
            reports.append(await read_costs(ledger, Question(wanted=wanted, by=by, step="day")))
            if "user" not in by:
                reports.append(await read_costs(ledger, Question(wanted=wanted, by=by, step="hour")))
    wanted = CostFilter(project_id=None, since_us=START_US, until_us=end, equal=(("model", "m1"), ("user", "u1")))
    reports.append(await read_costs(ledger, Question(wanted=wanted, by=("key",))))
    advice = await read_advice(ledger, CostFilter(project_id=None, since_us=START_US, until_us=end), Evidence())
    return reports, advice


async def test_sqlite_and_postgresql_agree(tmp_path: Path, postgres_url: str) -> None:
    found = []
    for name, location in (("sqlite", None), ("postgresql", postgres_url)):
        clock = ManualClock(START_US)
        ledger = opened(tmp_path / name, location, clock=clock)
        await filled(ledger, clock)
        found.append(await answers(ledger))
        ledger.close()
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert one == other
    assert found[0][1] == found[1][1]
    reports, advice = found[0]
    assert {each.kind for each in advice} >= {"repeated", "prefix"}
    assert all(report.total.calls > 0 for report in reports)


async def test_parts_of_a_time_add_up_to_the_whole(tmp_path: Path) -> None:
    """Sums of days and of hours meet without a gap and without an overlap, wherever the time is cut."""
    clock = ManualClock(START_US)
    ledger = opened(tmp_path, clock=clock)
    await filled(ledger, clock)
    hour = 3_600_000_000
    whole = (await total(ledger, 0, 72)).calls
    assert whole == 300
    for cut in range(1, 72):
        assert (await total(ledger, 0, cut)).calls + (await total(ledger, cut, 72)).calls == whole, cut * hour
    ledger.close()


async def total(ledger: Ledger, first: int, end: int):  # type: ignore[no-untyped-def]
    hour = 3_600_000_000
    wanted = CostFilter(project_id=None, since_us=START_US + first * hour, until_us=START_US + end * hour)
    return (await read_costs(ledger, Question(wanted=wanted))).total


async def test_a_time_that_ends_before_it_begins(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with pytest.raises(InvalidRequest, match="'since' is not before 'until'"):
        await read_costs(ledger, Question(wanted=CostFilter(project_id=None, since_us=2, until_us=1)))
    ledger.close()
