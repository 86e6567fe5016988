"""One row for each call of a model, exactly once, whatever ends the process.

A call is put down before it is made and completed when it is over; both are a few microseconds, because they only
copy a record into the journal's memory and leave the database to a thread. What a killed process left in its
journal is taken in by the next one, and calls that never ended are marked as such.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from penstock.access.ledger import repository
from penstock.access.ledger.journal import Journal
from penstock.access.ledger.repository import Row
from penstock.access.ledger.slots import Slots, free_slot, left_journals, own_journal, own_slot
from penstock.access.ledger.tables import CALL_COLUMNS, DIMENSION_COLUMNS, FINGERPRINTS, SLOT_BITS
from penstock.access.ledger.values import LedgerEntry, LedgerOutcome
from penstock.access.ledger.writer import FINGERPRINTED, LedgerWriter
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import StorageError, StorageFull
from penstock.exchange import Usage
from penstock.storage.database import Database

logger = logging.getLogger(__name__)

Durability = Literal["process", "power"]

FLUSH_SECONDS = 10.0
MOST_TOKENS = 1 << 50
"""More than this, or less than none, is a provider's mistake and no count."""
MOST_DIMENSIONS = 20_000
"""How many combinations are remembered; the database knows all of them."""
HERE = "local"
"""The provider of models that run on this machine."""
MOST_TEXT = 256
MOST_WAITING = 20_000
"""Calls that may wait for the database where no journal keeps them."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple).decode


class Ticket:
    """A call that was put down and is not over. `row` is as `CALL_COLUMNS`, without fingerprints."""

    __slots__ = ("dimension", "open", "row", "sequence")

    def __init__(self, row: Row, dimension: tuple[str, ...], sequence: int) -> None:
        self.row = row
        self.dimension = dimension
        self.sequence = sequence
        self.open = True


class Place:
    """Where a process stands in the ledger. `last_us` is the start of the newest call before it."""

    __slots__ = ("journal", "last_us", "slot", "slots")

    def __init__(self, journal: Journal, slot: int, slots: Slots, last_us: int) -> None:
        self.journal = journal
        self.slot = slot
        self.slots = slots
        self.last_us = last_us


class Ledger:
    """The open ledger of one process, made by `open_ledger`. `reserve` and `settle` never wait."""

    def __init__(self, database: Database, place: Place, clock: Clock, durability: Durability) -> None:
        self.database = database
        self._place = place
        self._journal = place.journal if durability == "process" else None
        self._clock = clock
        self._last_us = place.last_us
        self._dimensions: dict[tuple[str, ...], int] = {}
        self._served: dict[tuple[int, str], int] = {}
        self._writer = LedgerWriter(database, self._journal, self._keep_slot, eager=durability == "power")

    @property
    def queued(self) -> int:
        """Calls that wait for the database."""
        return len(self._writer.rows)

    def reserve(self, entry: LedgerEntry) -> Ticket:
        """Puts a call down before it is made.

        Raises `StorageFull` where the database has refused for so long that there is no more room to wait.
        """
        exchange, principal = entry.exchange, entry.exchange.principal
        dimension = (
            exchange.project_id,
            principal.key_id,
            exchange.app,
            exchange.model,
            "",
            "",
            exchange.operation,
            exchange.purpose,
            exchange.release_id,
        )
        started = self._clock.now_us()
        writer = self._writer
        limit = exchange.parameters.max_tokens
        with writer.lock:
            if started <= self._last_us:
                started = self._last_us + 1
            self._last_us = started
            row = (
                started << SLOT_BITS | self._place.slot,
                self._dimensions.get(dimension) or self._new_dimension(dimension),
                exchange.trace_id,
                exchange.id,
                exchange.user if exchange.user is None else clean(exchange.user),
                "reserved",
                started,
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                entry.reserved_nanos,
                None,
                "",
                0,
                0,
                None if limit is None or limit > MOST_TOKENS else limit,
            )
            journal = self._journal
            if journal is None:
                if len(writer.rows) >= MOST_WAITING:
                    raise self._full()
            elif journal.crowded or not journal.append(_pack(row)):
                raise self._full()
            if not writer.rows:
                writer.wake()
            writer.rows[row[0]] = row
            if len(writer.asked) < FINGERPRINTED:
                writer.asked.append((row[0], exchange))
            writer.sequence += 1
            return Ticket(row, dimension, writer.sequence)

    def settle(self, ticket: Ticket, outcome: LedgerOutcome) -> None:
        """Completes a call; the first time counts. Never raises: what the database refuses is written later."""
        if not ticket.open:
            return
        ticket.open = False
        begun, usage = ticket.row, outcome.usage
        input = cached = written = output = reasoning = cost = None
        estimated = 0
        if usage is not None and plausible(usage):
            input, output, cost = usage.input, usage.output, usage.cost_nanos
            cached, written, reasoning = usage.cached_input, usage.cache_write, usage.reasoning
            estimated = 1 if usage.estimated else 0
        writer = self._writer
        now = self._clock.now_us()
        with writer.lock:
            dimension = begun[1]
            if outcome.served_by:
                dimension = self._served.get((dimension, outcome.served_by)) or self._serve(
                    ticket, outcome.served_by
                )
            started = begun[6]
            row = (
                begun[0],
                dimension,
                begun[2],
                begun[3],
                begun[4],
                outcome.status,
                started,
                now if now > started else started,
                input,
                cached,
                written,
                output,
                reasoning,
                cost,
                begun[14],
                outcome.saved_nanos,
                outcome.cache,
                1 if outcome.batch else 0,
                estimated,
                begun[19],
            )
            if self._journal is not None and not self._journal.append(_pack(row)):
                logger.error("call %s ended while the ledger cannot be written; it is only in memory", begun[3])
            if not writer.rows:
                writer.wake()
            writer.rows[row[0]] = row
            writer.sequence += 1

    @property
    def waits(self) -> bool:
        """Whether a call that was put down may not be kept yet."""
        return self._journal is None

    def must_wait(self, ticket: Ticket) -> bool:
        """Whether the call is not yet kept as durably as configured."""
        return self._journal is None and self._writer.committed < ticket.sequence

    async def committed(self, ticket: Ticket) -> None:
        """Returns once the beginning of the call is kept as durably as configured: mostly it is already.

        Raises `StorageFull`, `StorageError` or `Unavailable` where the database refuses it.
        """
        if self.must_wait(ticket):
            await self._writer.wait(ticket.sequence)

    async def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Waits until all that was accounted can be read; false if that took more than `timeout` seconds."""
        return await asyncio.to_thread(self._writer.flush, timeout)

    def waiting(self) -> int:
        """How many calls wait to be written."""
        return len(self._writer.rows)

    def close(self) -> None:
        """Writes what waits, and closes the database."""
        self._writer.close()
        if self._journal is not None and not self._writer.rows:
            self._journal.clear()
        self._place.slots.close()
        self._place.journal.close()
        self.database.close()

    def _keep_slot(self) -> None:
        """Another slot, where this one was lost with its session; meanwhile calls may have been taken for lost."""
        place = self._place
        if place.slots.kept():
            return
        with self._writer.lock:
            self._writer.doubtful_below = (self._last_us + 1) << SLOT_BITS
        place.slot = free_slot(place.slots, self.database.name)

    def _serve(self, ticket: Ticket, served_by: str) -> int:
        """The combination of a call with who answered it."""
        dimension = (*ticket.dimension[:4], served_by, provider_of(served_by), *ticket.dimension[6:])
        found = self._dimensions.get(dimension) or self._new_dimension(dimension)
        self._served[ticket.row[1], served_by] = found
        return found

    def _new_dimension(self, dimension: tuple[str, ...]) -> int:
        """The id of a combination that was not met lately; the database is told of it with the next batch."""
        plain = tuple(clean(text) for text in dimension)
        data = b"\0".join(text.encode() for text in plain)
        identity = int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True) or 1
        if len(self._dimensions) >= MOST_DIMENSIONS:
            self._dimensions.clear()
            self._served.clear()
        self._dimensions[dimension] = identity
        row = (identity, *plain)
        if self._journal is not None:
            self._journal.append(_pack(row))
        self._writer.dimensions.append(row)
        return identity

    def _full(self) -> StorageError | StorageFull:
        failing = self._writer.failing
        return StorageFull(
            "The ledger has no room for another call: " + (failing.message if failing else "the disk is too slow."),
            hint="Calls are refused until what waits is written; see the server's log.",
        )


def provider_of(served_by: str) -> str:
    """The vendor in the name of a target; what has none, a model of the catalog or of a file, runs here."""
    vendor, slash, _ = served_by.partition("/")
    return vendor if slash and ":" not in vendor else HERE


def plausible(usage: Usage) -> bool:
    """Whether the counts are such as can be."""
    total = (
        usage.input | usage.output | (usage.cached_input or 0) | (usage.cache_write or 0) | (usage.reasoning or 0)
    )
    return 0 <= total < MOST_TOKENS and -MOST_TOKENS < (usage.cost_nanos or 0) < MOST_TOKENS << 10


def clean(text: str) -> str:
    """What databases take: no NUL, no half characters, and not too long."""
    if len(text) > MOST_TEXT:
        text = text[:MOST_TEXT]
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()


CALL_LENGTH = len(CALL_COLUMNS) - len(FINGERPRINTS)


def take_in(database: Database, journal: Journal) -> int:
    """Writes what a killed process left in its journal; returns how many calls. Raises what the database does."""
    calls: dict[int, Row] = {}
    dimensions: list[Row] = []
    for record in journal.records():
        try:
            row = _unpack(record)
        except msgspec.MsgspecError:
            logger.warning("%s holds a record that cannot be read, as after a power cut", journal.path.name)
            continue
        if len(row) == CALL_LENGTH:
            if row[5] != "reserved" or row[0] not in calls:
                calls[row[0]] = (*row, None, None, None)
        elif len(row) == len(DIMENSION_COLUMNS):
            dimensions.append(row)
    if calls or dimensions:
        rows = list(calls.values())
        database.submit(lambda connection: repository.put(connection, rows, dimensions, first=False)).result()
    journal.clear()
    return len(calls)


def open_ledger(
    database: Database, folder: Path, durability: Durability = "process", clock: Clock = SYSTEM_CLOCK
) -> Ledger:
    """Opens the ledger in `database`, which it closes in the end.

    Takes in what killed processes left in `folder`, which is for journals and on this machine, and ends the calls
    that they left open. Raises `StorageError`, `StorageFull` or `Unavailable`.
    """
    number, journal = own_journal(folder)
    take_in(database, journal)
    for left in left_journals(folder):
        take_in(database, left)
    slot, slots = own_slot(database, folder, number)
    with database.read() as connection:
        candidates = repository.open_slots(connection)
        last_us = repository.last_started_us(connection)
    dead = [each for each in candidates if each == slot or slots.take(each)]
    lost = database.submit(lambda connection: repository.reconcile(connection, dead)).result()
    if lost:
        logger.warning("%d calls had begun when a process was killed; what they cost is not known", lost)
    for each in dead:
        if each != slot:
            slots.give_back(each)
    return Ledger(database, Place(journal, slot, slots, last_us), clock, durability)
