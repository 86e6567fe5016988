"""The records of a journal, and how what a killed process left there comes into the database.

A record is one of

- a call that begins: what is known of it then (`BEGINNING`), and its outcome so far (`OUTCOME`);
- the end of a call: its id, and its outcome. Where the journal does not hold its beginning, the database does;
- a combination of what calls have in common (`DIMENSION_COLUMNS`);
- a call begun or over, as earlier versions wrote it (`WHOLE`).
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from penstock.access.ledger import repository
from penstock.access.ledger.journal import Journal
from penstock.access.ledger.repository import Call, Row
from penstock.access.ledger.tables import BEGINNING, DIMENSION_COLUMNS, OUTCOME, SLOT_BITS
from penstock.storage.database import Database

logger = logging.getLogger(__name__)

WHOLE = (
    "id",
    "dimension_id",
    "trace_id",
    "request_id",
    "user",
    "status",
    "started_us",
    "ended_us",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanos",
    "reserved_nanos",
    "saved_nanos",
    "cache",
    "batch",
    "estimated",
    "max_output",
)

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(tuple).decode


def take_in(database: Database, journal: Journal) -> int:
    """Writes what a killed process left in its journal; returns how many calls. Raises what the database does."""
    beginnings: dict[int, Row] = {}
    outcomes: dict[int, Row] = {}
    dimensions: list[Row] = []
    for record in journal.records():
        try:
            row = unpack(record)
        except msgspec.MsgspecError:
            logger.warning("%s holds a record that cannot be read, as after a power cut", journal.path.name)
            continue
        if len(row) == len(DIMENSION_COLUMNS):
            dimensions.append(row)
        elif (found := call_of(row)) is not None:
            identity, beginning, outcome = found
            if beginning is not None:
                beginnings[identity] = beginning
            if outcome[1] != "reserved" or identity not in outcomes:
                outcomes[identity] = outcome
    calls: list[Call] = [(beginnings.get(each) or beyond(each), outcome) for each, outcome in outcomes.items()]
    if calls or dimensions:
        database.submit(lambda connection: repository.put(connection, calls, dimensions, {}, first=False)).result()
    journal.clear()
    return len(calls)


def call_of(row: tuple[Any, ...]) -> tuple[int, Row | None, Row] | None:
    """The id of a call, its beginning where the record holds it, and its outcome; `None` for no call."""
    if len(row) == len(WHOLE):
        values = dict(zip(WHOLE, row, strict=True))
        return row[0], tuple(values[name] for name in BEGINNING), tuple(values[name] for name in OUTCOME)
    match row:
        case (int(identity), list(outcome)) if len(outcome) == len(OUTCOME):
            return identity, None, tuple(outcome)
        case (list(beginning), list(outcome)) if (len(beginning), len(outcome)) == (len(BEGINNING), len(OUTCOME)):
            return beginning[0], tuple(beginning), tuple(outcome)
    return None


def beyond(identity: int) -> Row:
    """The beginning of a call that stands in the database: `repository.put` takes what lacks here from there."""
    return (identity, "", "", None, identity >> SLOT_BITS, None, None)
