"""Ledgers for tests: open, fill, and read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from penstock.access.ledger import Durability, Ledger, LedgerEntry, LedgerOutcome, Ticket, open_ledger
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.exchange import LOCAL, Exchange, Message, Principal, Usage
from penstock.ids import new_id, new_trace_id
from penstock.storage.database import Database
from penstock.storage.location import open_database


def opened(
    folder: Path,
    location: Path | str | None = None,
    durability: Durability = "process",
    clock: Clock = SYSTEM_CLOCK,
) -> Ledger:
    folder.mkdir(parents=True, exist_ok=True)
    database = open_database(location or folder, "ledger", durable=durability == "power")
    return open_ledger(database, folder, durability, clock)


def call(question: str = "Hi", principal: Principal = LOCAL, **fields: Any) -> Exchange:
    fields.setdefault("model", "default")
    fields.setdefault("messages", (Message("user", question),))
    return Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        principal=principal,
        project_id=principal.project_id,
        **fields,
    )


OK = LedgerOutcome(status="ok", usage=Usage(10, 5, cost_nanos=100), served_by="openai/gpt-4.1-mini")


def made(ledger: Ledger, exchange: Exchange | None = None, outcome: LedgerOutcome = OK) -> Ticket:
    """A whole call."""
    ticket = ledger.reserve(LedgerEntry(exchange or call(), 500))
    ledger.settle(ticket, outcome)
    return ticket


def rows(database: Database, columns: str = "*", where: str = "true") -> Sequence[Any]:
    with database.read() as connection:
        return connection.execute(text(f"SELECT {columns} FROM call WHERE {where} ORDER BY id")).all()


def sums(database: Database, table: str = "hourly") -> dict[str, int]:
    """All sums over everything."""
    from penstock.access.ledger.tables import SUMS

    wanted = ", ".join(f'coalesce(sum("{name}"), 0)' for name in SUMS)
    with database.read() as connection:
        found = connection.execute(text(f"SELECT {wanted} FROM {table}")).one()
    return {name: int(value) for name, value in zip(SUMS, found, strict=True)}
