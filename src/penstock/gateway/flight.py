"""One exchange on its way: through the stages inbound, to its provider, and its answer back out.

A stage sees the same `Flight` up to four times: `inbound` may change the exchange or refuse it, `saw` is told of
every chunk that passes, `outbound` may change the stream of chunks, and `end` is called once whatever happened, in
reverse order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Self

from penstock.access.ledger import Ticket
from penstock.access.limits import Reservation
from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange, Usage
from penstock.gateway.registry import Target
from penstock.seams import Span
from penstock.traces.recorder import ActiveTrace

logger = logging.getLogger(__name__)

Place = Literal["root", "leaf", "both"]
Chunks = AsyncGenerator[Chunk, None]


class Stage:
    """One step of the pipeline. What it does not override costs nothing.

    `runs_at` "root" is the exchange of a caller; "leaf" one whose target is a model and not an app, so that an
    app's question is counted once; "both" is every exchange, the calls of apps included. A leaf stage stands
    behind `Resolve`, for only then the target is known.
    """

    runs_at: Place = "both"

    def inbound(self, flight: Flight) -> Awaitable[None] | None:
        """Raises a `PenstockError` to refuse the exchange; `end` is then not called for this stage.

        A stage that may have to wait makes it an `async def`; the others need no coroutine.
        """

    def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        """The stream with what this stage changes of it. To look on without changing anything, use `saw`."""
        return chunks

    def saw(self, flight: Flight, chunk: Chunk) -> None:
        """A chunk of the answer that leaves the pipeline, after all stages. Must not raise or wait."""

    def end(self, flight: Flight) -> None:
        """Gives back what `inbound` took. `flight.error` says how it went. Must not raise or wait."""


class Step(NamedTuple):
    """A stage as flights pass it: what it overrides, `None` for the rest. `leaf` says that only leaves do."""

    leaf: bool
    inbound: Callable[[Flight], Awaitable[None] | None] | None
    outbound: Callable[[Flight, Chunks], Chunks] | None
    saw: Callable[[Flight, Chunk], None] | None
    end: Callable[[Flight], None] | None

    @classmethod
    def of(cls, stage: Stage) -> Self:
        kind = type(stage)
        return cls(
            stage.runs_at == "leaf",
            stage.inbound if kind.inbound is not Stage.inbound else None,
            stage.outbound if kind.outbound is not Stage.outbound else None,
            stage.saw if kind.saw is not Stage.saw else None,
            stage.end if kind.end is not Stage.end else None,
        )


Provide = Callable[["Flight"], Chunks]


class Flight:
    """An exchange in flight, and the stream of its answer.

    `target` is known once it was resolved, `usage` once a chunk carried it, `trace` and `span` while they are
    recorded. `error` is `None` for an answer that was delivered to its end. `cause` is why the flight was stopped
    from outside, where that was not the client. `started` and `first_chunk` are on the monotonic clock.

    `source`, when a stage sets it inbound, answers instead of the target's provider (a cache does that).
    `headers` are added to the answer's. `served_by` names the target that a route chose, `cache` says how a cache
    answered ("hit", "semantic", "shared"; "" for not at all). `passed` counts the chunks of the answer so far,
    `reservation` is what was taken from limits and is to be settled, `ticket` the call's place in the ledger.
    """

    __slots__ = (
        "_chunks",
        "_closed",
        "_complete",
        "_ends",
        "_layers",
        "_provide",
        "_saws",
        "_steps",
        "cache",
        "called",
        "cause",
        "error",
        "exchange",
        "finish_reason",
        "first_chunk",
        "headers",
        "is_root",
        "lingers",
        "passed",
        "reservation",
        "reserved_nanos",
        "served_by",
        "source",
        "span",
        "started",
        "target",
        "texts",
        "ticket",
        "trace",
        "usage",
    )

    def __init__(self, exchange: Exchange, steps: Sequence[Step], provide: Provide, *, is_root: bool) -> None:
        self.exchange = exchange
        self.is_root = is_root
        self.target: Target | None = None
        self.usage: Usage | None = None
        self.trace: ActiveTrace | None = None
        self.span: Span | None = None
        self.error: BaseException | None = None
        self.cause: PenstockError | None = None
        self.source: Chunks | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.reservation: Reservation | None = None
        self.reserved_nanos: int | None = None
        self.ticket: Ticket | None = None
        self.passed = 0
        self.called = 0.0
        self.texts: list[str] = []
        self.finish_reason: str | None = None
        self.served_by = ""
        self.cache = ""
        self.started = time.monotonic()
        self.first_chunk: float | None = None
        self.lingers = False
        self._steps = steps
        self._provide = provide
        self._ends: list[Callable[[Flight], None]] = []
        self._saws: list[Callable[[Flight, Chunk], None]] = []
        self._layers: list[Chunks] = []
        self._chunks: Chunks | None = None
        self._complete = False
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        try:
            if self._chunks is None:
                self._chunks = await self._enter()
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            self._complete = True
            if not self.lingers:
                await self.aclose()
            raise
        except BaseException as error:
            self.error = self.cause or error
            if not self.lingers:
                await self.aclose()
            raise
        if self.first_chunk is None:
            self.first_chunk = time.monotonic()
        self.passed += 1
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.served_by is not None:
            self.served_by = chunk.served_by
        for saw in self._saws:
            saw(self, chunk)
        return chunk

    async def aclose(self) -> None:
        """Ends the flight: work that still goes on behind it is cancelled before this returns."""
        if self._closed:
            return
        self._closed = True
        if not self._complete and self.error is None:
            self.error = self.cause or GeneratorExit()
        try:
            for layer in reversed(self._layers):
                await layer.aclose()
        finally:
            for end in reversed(self._ends):
                try:
                    end(self)
                except Exception:  # the stages before it must still give back what they took
                    logger.exception("%s failed at the end of a request", end.__qualname__)

    async def _enter(self) -> Chunks:
        """Runs the stages inbound, and builds the stream of the answer."""
        layers, outbounds = self._layers, []
        try:
            for leaf, inbound, outbound, saw, end in self._steps:
                if leaf and not (self.target is not None and self.target.is_leaf):
                    continue
                if inbound is not None and (waits := inbound(self)) is not None:
                    await waits
                if outbound is not None:
                    outbounds.append(outbound)
                if saw is not None:
                    self._saws.append(saw)
                if end is not None:
                    self._ends.append(end)
        finally:
            if self.source is not None:
                layers.append(self.source)
        chunks = self.source
        if chunks is None:
            chunks = self._provide(self)
            layers.append(chunks)
        for outbound in reversed(outbounds):
            wrapped = outbound(self, chunks)
            if wrapped is not chunks:
                layers.append(wrapped)
                chunks = wrapped
        return chunks
