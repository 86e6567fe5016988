"""One exchange on its way: through the stages inbound, to its provider, and its answer back out.

A stage sees the same `Flight` up to four times: `inbound` may change the exchange or refuse it, `saw` is told of
every chunk that passes, `outbound` may change the stream of chunks, and `end` is called once whatever happened, in
reverse order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Literal, Self

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

    async def inbound(self, flight: Flight) -> None:
        """Raises a `PenstockError` to refuse the exchange; `end` is then not called for this stage."""

    def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        """The stream with what this stage changes of it. To look on without changing anything, use `saw`."""
        return chunks

    def saw(self, flight: Flight, chunk: Chunk) -> None:
        """A chunk of the answer that leaves the pipeline, after all stages. Must not raise or wait."""

    def end(self, flight: Flight) -> None:
        """Gives back what `inbound` took. `flight.error` says how it went. Must not raise or wait."""


Provide = Callable[["Flight"], Chunks]


class Flight:
    """An exchange in flight, and the stream of its answer.

    `target` is known once it was resolved, `usage` once a chunk carried it, `trace` and `span` while they are
    recorded. `error` is `None` for an answer that was delivered to its end. `cause` is why the flight was stopped
    from outside, where that was not the client. `started` and `first_chunk` are on the monotonic clock.

    `source`, when a stage sets it inbound, answers instead of the target's provider (a cache does that).
    `headers` are added to the answer's. `served_by` names the target that a route chose, `cache` says how a cache
    answered ("hit", "semantic", "shared"; "" for not at all).
    """

    __slots__ = (
        "_chunks",
        "cache",
        "cause",
        "error",
        "exchange",
        "first_chunk",
        "headers",
        "is_root",
        "served_by",
        "source",
        "span",
        "started",
        "target",
        "trace",
        "usage",
    )

    def __init__(self, exchange: Exchange, stages: Sequence[Stage], provide: Provide, *, is_root: bool) -> None:
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
        self.served_by = ""
        self.cache = ""
        self.started = time.monotonic()
        self.first_chunk: float | None = None
        self._chunks = self._run(stages, provide)

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Chunk]:
        return self._chunks.__anext__()

    async def aclose(self) -> None:
        """Ends the flight early: the work behind it is cancelled before this returns."""
        await self._chunks.aclose()

    def _applies(self, stage: Stage) -> bool:
        if stage.runs_at == "both":
            return True
        if stage.runs_at == "root":
            return self.is_root
        return self.target is not None and self.target.is_leaf

    async def _run(self, stages: Sequence[Stage], provide: Provide) -> Chunks:
        entered: list[Stage] = []
        layers: list[Chunks] = []
        try:
            for stage in stages:
                if self._applies(stage):
                    await stage.inbound(self)
                    entered.append(stage)
            chunks = self.source or provide(self)
            layers.append(chunks)
            for stage in reversed(entered):
                wrapped = stage.outbound(self, chunks)
                if wrapped is not chunks:
                    layers.append(wrapped)
                    chunks = wrapped
            watching = [stage for stage in entered if type(stage).saw is not Stage.saw]
            async for chunk in chunks:
                self._note(chunk)
                for stage in watching:
                    stage.saw(self, chunk)
                yield chunk
        except BaseException as error:
            self.error = self.cause or error
            if self.source is not None and not layers:
                layers.append(self.source)
            raise
        finally:
            try:
                for layer in reversed(layers):
                    await layer.aclose()
            finally:
                for stage in reversed(entered):
                    self._end(stage)

    def _note(self, chunk: Chunk) -> None:
        if self.first_chunk is None:
            self.first_chunk = time.monotonic()
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.served_by is not None:
            self.served_by = chunk.served_by

    def _end(self, stage: Stage) -> None:
        try:
            stage.end(self)
        except Exception:  # the stages before it must still give back what they took
            logger.exception("%s failed at the end of a request", type(stage).__name__)
