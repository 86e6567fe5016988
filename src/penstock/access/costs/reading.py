"""Questions about costs, answered off the event loop."""

from __future__ import annotations

import asyncio

from penstock.access.costs import repository
from penstock.access.costs.repository import Question
from penstock.access.costs.values import MOST_ROWS, CostReport
from penstock.access.ledger import Ledger
from penstock.errors import InvalidRequest


async def read_costs(ledger: Ledger, question: Question) -> CostReport:
    """Sums of the calls that are over until now. Raises `InvalidRequest` for what cannot be asked together."""
    wanted = question.wanted
    if wanted.since_us >= wanted.until_us:
        raise InvalidRequest(
            "'since' is not before 'until'.", hint="Ask for a time that has passed.", param="since"
        )
    if question.by_user and question.step == "hour":
        raise InvalidRequest(
            "Users are counted by the day, not by the hour.", hint="Ask for every=day.", param="every"
        )
    await ledger.flush()
    return await asyncio.to_thread(report, ledger, question)


def report(ledger: Ledger, question: Question) -> CostReport:
    first, end = question.bounds
    with ledger.database.read() as connection:
        rows, total = repository.costs(connection, question)
    return CostReport(
        since_us=first * question.unit,
        until_us=end * question.unit,
        rows=tuple(rows[:MOST_ROWS]),
        total=total,
        truncated=len(rows) > MOST_ROWS,
    )
