"""Every call of a model has a row in the ledger: put down before it is made, completed when it is over."""

from __future__ import annotations

import asyncio
import time

import msgspec

from penstock.access.ledger import Ledger, LedgerEntry, LedgerOutcome, Status
from penstock.access.limits.estimate import input_tokens
from penstock.errors import DeadlineExceeded, PenstockError, UpstreamFailed
from penstock.exchange import Usage
from penstock.gateway.flight import Chunks, Flight, Place, Stage
from penstock.gateway.meter import Meter

LEFT = (asyncio.CancelledError, GeneratorExit)


class Account(Stage):
    """Keeps the ledger, and counts tokens for `/metrics`. Only leaves are charged; their targets set the cost.

    The row is kept through kill -9 as soon as it is put down, so that nothing waits.
    """

    runs_at: Place = "leaf"

    def __init__(self, meter: Meter, ledger: Ledger | None = None) -> None:
        self._meter = meter
        self._ledger = ledger

    def inbound(self, flight: Flight) -> None:
        """Raises `StorageFull` where the ledger cannot take another call."""
        if self._ledger is not None:
            flight.ticket = self._ledger.reserve(LedgerEntry(flight.exchange, most(flight)))

    def end(self, flight: Flight) -> None:
        target, usage = flight.target, flight.usage
        if usage is not None and target is not None and not flight.cache:
            self._meter.count_tokens(target.name, usage)
        if flight.ticket is not None and self._ledger is not None:
            self._ledger.settle(flight.ticket, outcome(flight))


class Keep(Stage):
    """The last piece of an answer waits until its row is on the disk, unless that was quicker than the model.

    Stands behind `Account`, which puts the row down, where it shall outlive a power cut.
    """

    runs_at: Place = "leaf"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        return kept(self._ledger, flight, chunks)


async def kept(ledger: Ledger, flight: Flight, chunks: Chunks) -> Chunks:
    """The answer, whose last piece comes when the beginning of its call is on disk."""
    assert flight.ticket is not None
    async for chunk in chunks:
        if chunk.finish_reason is not None and ledger.must_wait(flight.ticket):
            await ledger.committed(flight.ticket)
        yield chunk
    await ledger.committed(flight.ticket)


def most(flight: Flight) -> int | None:
    """The most that a call may cost, in nano-dollars; `None` where its length or its price is not known."""
    price = flight.target.price if flight.target is not None else None
    parameters = flight.exchange.parameters
    if price is None or flight.cache:
        return None
    if flight.reserved_nanos is not None:
        return flight.reserved_nanos
    limit = parameters.max_tokens
    if limit is None:
        if flight.exchange.operation != "embed":
            return None
        limit = 0
    return price.estimate_nanos(input_tokens(flight.exchange), limit * parameters.n)


def outcome(flight: Flight) -> LedgerOutcome:
    """What came of a call, as the ledger says it."""
    usage, error = flight.usage, flight.error
    if flight.cache:
        return LedgerOutcome(status="cached", usage=NOTHING, cache=flight.cache, saved_nanos=costs(flight, usage))
    status: Status = "ok" if error is None else "cancelled" if isinstance(error, LEFT) else "error"
    if usage is None and error is not None:
        usage = broken(flight, error)
    served_by = flight.served_by or (flight.target.served_by if flight.target is not None else "")
    return LedgerOutcome(status=status, usage=usage, served_by=served_by)


NOTHING = Usage(0, cost_nanos=0)


def broken(flight: Flight, error: BaseException) -> Usage | None:
    """What a call used that ended before its usage came.

    A request that was refused used nothing. Of a stream that broke off, each chunk counts as one token, as most
    are, and the usage says that it is estimated. Otherwise nobody knows.
    """
    if flight.passed:
        return estimated(flight) if flight.exchange.stream else None
    refused = isinstance(error, UpstreamFailed) and error.upstream_status is not None
    ours = isinstance(error, PenstockError) and not isinstance(error, (UpstreamFailed, DeadlineExceeded))
    return NOTHING if refused or ours else None


def estimated(flight: Flight) -> Usage:
    used = Usage(input_tokens(flight.exchange), flight.passed, estimated=True)
    return msgspec.structs.replace(used, cost_nanos=costs(flight, used))


def costs(flight: Flight, usage: Usage | None) -> int | None:
    """What a usage costs at the target, the dearest where a route may choose."""
    price = flight.target.price if flight.target is not None else None
    return None if price is None or usage is None else price.cost_nanos(usage, time.time())
