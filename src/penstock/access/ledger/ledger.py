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

from msgspec import Struct

from penstock.access.ledger import repository
from penstock.access.ledger.journal import Journal
from penstock.access.ledger.records import pack, take_in
from penstock.access.ledger.repository import Row
from penstock.access.ledger.slots import Slots, free_slot, left_journals, own_journal, own_slot
from penstock.access.ledger.tables import SLOT_BITS
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
MOST_NANOS = 1 << 44
"""More than this, or less than none, is somebody's mistake and no count: 17,592 dollars for one call.

The sum over half a million such calls still fits a column; one that does not would stop the writer.
"""
MOST_DIMENSIONS = 20_000
"""How many combinations are remembered; the database knows all of them."""
HERE = "local"
"""The provider of models that run on this machine."""
MOST_TEXT = 256
MOST_WAITING = 20_000
"""Calls that may wait for the database where no journal keeps them."""


class Dimension:
    """A combination of what many calls have in common: all of `texts` are known but who served it.

    `begun` is the outcome of a call that goes on, `served` the ids of the combination with who answered.
    """

    __slots__ = ("begun", "id", "served", "texts")

    def __init__(self, identity: int, texts: tuple[str, ...]) -> None:
        self.id = identity
        self.texts = texts
        self.begun: Row = (identity, "reserved", None, None, "", 0, *UNKNOWN)
        self.served: dict[str, int] = {}


class Ticket(Struct):
    """A call that was put down and is not over, and the number of the batch in which it is written."""

    beginning: Row
    dimension: Dimension
    batch: int
    open: bool = True


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
        self._dimensions: dict[tuple[str, ...], Dimension] = {}
        self._writer = LedgerWriter(database, self._journal, self._keep_slot, eager=durability == "power")

    @property
    def queued(self) -> int:
        """Calls that wait for the database."""
        return len(self._writer.calls)

    def reserve(self, entry: LedgerEntry) -> Ticket:
        """Puts a call down before it is made.

        Raises `StorageFull` where the database has refused for so long that there is no more room to wait.
        """
        exchange, writer, journal = entry.exchange, self._writer, self._journal
        texts = (
            exchange.project_id,
            exchange.principal.key_id,
            exchange.app,
            exchange.model,
            "",
            "",
            exchange.operation,
            exchange.purpose,
            exchange.release_id,
        )
        user, limit = exchange.user, exchange.parameters.max_tokens
        started = self._clock.now_us()
        writer.lock.acquire()  # `with` takes three times as long
        try:
            if started <= self._last_us:
                started = self._last_us + 1
            self._last_us = started
            dimension = self._dimensions.get(texts) or self._new_dimension(texts)
            identity = started << SLOT_BITS | self._place.slot
            beginning = (
                identity,
                exchange.trace_id,
                exchange.id,
                user if user is None else clean(user),
                started,
                within(entry.reserved_nanos, MOST_NANOS),
                within(limit, MOST_TOKENS),
            )
            call = (beginning, dimension.begun)
            if journal is None:
                if len(writer.calls) >= MOST_WAITING:
                    raise self._full()
            elif not journal.append(pack(call), begins=True):
                raise self._full()
            if not writer.calls:
                writer.wake()
            writer.calls[identity] = call
            if len(writer.asked) < FINGERPRINTED:
                writer.asked.append((identity, exchange))
            return Ticket(beginning, dimension, writer.batch)
        finally:
            writer.lock.release()

    def settle(self, ticket: Ticket, outcome: LedgerOutcome) -> None:
        """Completes a call; the first time counts. Never raises: what the database refuses is written later."""
        if not ticket.open:
            return
        ticket.open = False
        beginning, dimension, served_by = ticket.beginning, ticket.dimension, outcome.served_by
        identity, started, writer, journal = beginning[0], beginning[4], self._writer, self._journal
        now = self._clock.now_us()
        writer.lock.acquire()
        try:
            served = dimension.id
            if served_by:
                served = dimension.served.get(served_by) or self._serve(dimension, served_by)
            came = (
                served,
                outcome.status,
                now if now > started else started,
                outcome.saved_nanos,
                outcome.cache,
                1 if outcome.batch else 0,
                *counted(outcome.usage),
            )
            if journal is not None and not journal.append(pack((identity, came))):
                logger.error("call %s ended while the ledger cannot be written; it is only in memory", beginning[2])
            if not writer.calls:
                writer.wake()
            writer.calls[identity] = (beginning, came)
        finally:
            writer.lock.release()

    @property
    def waits(self) -> bool:
        """Whether a call that was put down may not be kept yet."""
        return self._journal is None

    def must_wait(self, ticket: Ticket) -> bool:
        """Whether the call is not yet kept as durably as configured."""
        return self._journal is None and self._writer.committed < ticket.batch

    async def committed(self, ticket: Ticket) -> None:
        """Returns once the beginning of the call is kept as durably as configured: mostly it is already.

        Raises `StorageFull`, `StorageError` or `Unavailable` where the database refuses it.
        """
        if self.must_wait(ticket):
            await self._writer.wait(ticket.batch)

    async def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Waits until all that was accounted can be read; false if that took more than `timeout` seconds."""
        return await asyncio.to_thread(self._writer.flush, timeout)

    def waiting(self) -> int:
        """How many calls wait to be written."""
        return len(self._writer.calls)

    def close(self) -> None:
        """Writes what waits, and closes the database."""
        self._writer.close()
        if self._journal is not None and not self._writer.calls:
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

    def _serve(self, dimension: Dimension, served_by: str) -> int:
        """The combination of a call with who answered it."""
        texts = (*dimension.texts[:4], served_by, provider_of(served_by), *dimension.texts[6:])
        found = self._dimensions.get(texts) or self._new_dimension(texts)
        dimension.served[served_by] = found.id
        return found.id

    def _new_dimension(self, texts: tuple[str, ...]) -> Dimension:
        """A combination that was not met lately; the database is told of it with the next batch."""
        plain = tuple(clean(text) for text in texts)
        data = b"\0".join(text.encode() for text in plain)
        identity = int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True) or 1
        if len(self._dimensions) >= MOST_DIMENSIONS:
            self._dimensions.clear()
        found = self._dimensions[texts] = Dimension(identity, texts)
        row = (identity, *plain)
        if self._journal is not None:
            self._journal.append(pack(row))
        self._writer.dimensions.append(row)
        return found

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


UNKNOWN: Row = (0, None, None, None, None, None, None)


def counted(usage: Usage | None) -> Row:
    """The last columns of an outcome, from `estimated` on; unknown where the counts cannot be true."""
    if usage is None:
        return UNKNOWN
    input, output, cost = usage.input, usage.output, usage.cost_nanos
    cached, written, reasoning = usage.cached_input, usage.cache_write, usage.reasoning
    total = input | output | (cached or 0) | (written or 0) | (reasoning or 0)
    if not 0 <= total < MOST_TOKENS or not -MOST_NANOS < (cost or 0) < MOST_NANOS:
        return UNKNOWN
    return (1 if usage.estimated else 0, input, cached, written, output, reasoning, cost)


def within(amount: int | None, most: int) -> int | None:
    """An amount that a database can hold; what is larger is as good as not known."""
    return None if amount is None or amount > most else amount


def clean(text: str) -> str:
    """What databases take: no NUL, no half characters, and not too long."""
    if len(text) > MOST_TEXT:
        text = text[:MOST_TEXT]
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()


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
