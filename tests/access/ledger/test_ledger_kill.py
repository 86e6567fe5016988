"""kill -9 at any moment: what was acknowledged is there, once, and the sums are those of the rows."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from support.ledgers import opened, rows, sums

CHILD = Path(__file__).parents[2] / "support" / "ledger_child.py"


def killed(folder: Path, location: str, start: int, seconds: float) -> tuple[set[int], set[int]]:
    """The calls that a process said had begun and ended, before it was killed in the middle of them."""
    command = [sys.executable, str(CHILD), str(folder), location, str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
        said = [line.split() for line in child.stdout.read().splitlines()]
    begun = {int(number) for word, number in said if word == "begun"}
    return begun, {int(number) for word, number in said if word == "ended"}


@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 20), ("postgresql", 5)])
async def test_kill_9_loses_nothing_and_charges_nothing_twice(
    kind: str, kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    location = "" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    chance = random.Random(7)
    begun: set[int] = set()
    ended: set[int] = set()
    for _ in range(kills):
        more_begun, more_ended = killed(tmp_path, location, max(begun, default=0) + 2, chance.uniform(0.01, 0.35))
        begun |= more_begun
        ended |= more_ended
    assert len(ended) > 100
    ledger = opened(tmp_path, location or None)
    stored = rows(ledger.database)
    numbers = [int(row.request_id.removeprefix("req_")) for row in stored]
    assert len(numbers) == len(set(numbers))
    by_number = dict(zip(numbers, stored, strict=True))
    # The last call of each process may be kept and not yet said: it dies between the two.
    assert begun <= by_number.keys()
    assert len(by_number.keys() - begun) <= kills
    for number in ended:
        assert (by_number[number].status, by_number[number].cost_nanos) == ("ok", 10 * number)
    unsaid = by_number.keys() - ended
    assert all(by_number[number].status == "reconciled" for number in unsaid if number % 7 == 0)
    assert len([number for number in unsaid if by_number[number].status == "ok"]) <= kills
    total = sums(ledger.database)
    costs = [row.cost_nanos for row in stored if row.cost_nanos is not None]
    open_calls = [row for row in stored if row.status == "reconciled"]
    assert (total["calls"], total["cost_nanos"]) == (len(stored), sum(costs))
    assert (total["reconciled"], total["open_nanos"]) == (len(open_calls), 1000 * len(open_calls))
    ledger.close()
