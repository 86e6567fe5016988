"""Records one request while it runs: a tree of timed spans, and what the whole of it came to.

Nothing here waits or fails a request: values are kept as they are given, and become rows when they are written
(`traces/rows.py`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable, Iterable
from types import NoneType, TracebackType
from typing import Any, Self

from msgspec import Struct

from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange, Parameters, Usage
from penstock.seams import SpanKind
from penstock.traces import content, rows
from penstock.traces.span import SPAN_SIZE, TRACE_SIZE, Ended, TraceRecord, TraceStatus

logger = logging.getLogger(__name__)

AT_ONCE = 16 << 10
"""Bytes from which on a trace becomes rows as soon as it ends: those are bounded, what they are made of is not."""

FIXED = frozenset({bool, int, float, str, NoneType, Usage, Parameters})
"""Types of attributes that stay what they are."""


class RecorderSettings(Struct, frozen=True, kw_only=True):
    """`content` false records no text that people or models wrote. `max_span_bytes` bounds each span's."""

    content: bool = True
    max_span_bytes: int = 256 << 10


class Outcome(Struct, frozen=True):
    """How a request or a step ended."""

    status: TraceStatus
    code: str | None = None
    message: str | None = None


OK = Outcome("ok")


class ModelCall(Struct, frozen=True):
    """A call of a model: what was sent and what came of it.

    `sent` is `None` where it is what was asked, `answer` where it is the answer of the trace.
    """

    sent: Exchange | None
    model: str
    provider: str
    served_by: str
    first_chunk_us: int | None
    usage: Usage | None
    answer: str | None = None
    finish_reason: str | None = None


class ActiveSpan:
    """A step that is running (`seams.Span`), and the tracer of the steps below it (`seams.Tracer`).

    `parent` is `None` right below the root. `started` and `ended` are on the trace's clock.
    """

    __slots__ = (
        "_trace",
        "attributes",
        "call",
        "ended",
        "id",
        "kind",
        "name",
        "outcome",
        "parent",
        "started",
    )

    def __init__(
        self, trace: ActiveTrace | Over, parent: ActiveSpan | None, name: str, kind: SpanKind, started: float
    ) -> None:
        self._trace = trace
        self.id = ""
        self.parent = parent
        self.name = name
        self.kind = kind
        self.started = started
        self.ended = started
        self.outcome: Outcome | None = None
        self.attributes: dict[str, Any] | None = None
        self.call: ModelCall | None = None

    @property
    def tracer(self) -> ActiveSpan:
        return self

    def set(self, **attributes: Any) -> None:
        if self._trace is OVER:
            return
        if self.attributes is None:
            self.attributes = attributes
        else:
            self.attributes.update(attributes)

    def span(self, name: str, kind: SpanKind = "chain", **attributes: Any) -> ActiveSpan:
        return self._trace.start(self, name, kind, attributes)

    def backdate(self, seconds: float) -> None:
        if self._trace is not OVER:
            self.started -= seconds

    def end(self, error: BaseException | None = None) -> None:
        """Ends the step; the first end counts."""
        if self.outcome is None and self._trace is not OVER:
            self.ended = self._trace.now()
            self.outcome = OK if error is None else outcome_of(error)

    def part_with_trace(self) -> None:
        """The trace is over: what is done with this step from now on is not recorded."""
        self._trace = OVER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)


class Over:
    """In place of the trace of a step that outlives it."""

    def now(self) -> float:
        return 0.0

    def start(self, parent: ActiveSpan, name: str, kind: SpanKind, attributes: dict[str, Any]) -> ActiveSpan:
        return ActiveSpan(self, parent, name, kind, 0.0)


OVER = Over()


class ActiveTrace:
    """One request that is running: the root of its spans, and the tracer of those below it.

    When it has ended nothing of it changes any more, and it waits as it is until it is written.
    """

    __slots__ = (
        "_below",
        "_done",
        "_keep",
        "_pieces",
        "_room",
        "answer",
        "attributes",
        "ended",
        "exchange",
        "finish_reason",
        "first_chunk",
        "id",
        "now",
        "outcome",
        "release_id",
        "settings",
        "size",
        "spans",
        "started",
        "started_us",
        "usage",
    )

    def __init__(
        self, exchange: Exchange, clock: Clock, settings: RecorderSettings, keep: Callable[[Ended], None]
    ) -> None:
        self.id = exchange.trace_id
        self.exchange = exchange
        self.settings = settings
        self.now = clock.monotonic
        self.started_us = clock.now_us()
        self.started = self.ended = clock.monotonic()
        self.release_id = exchange.release_id
        self.first_chunk: float | None = None
        self.answer = ""
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.outcome = OK
        self.attributes: dict[str, Any] | None = None
        self.spans: list[ActiveSpan] = []
        self.size = 0
        self._keep = keep
        self._pieces: list[str] = []
        self._room = settings.max_span_bytes if settings.content else 0
        self._below: ActiveSpan | None = None
        self._done = False

    def at_us(self, time: float) -> int:
        """A time on this trace's clock as microseconds since its start."""
        return round((time - self.started) * 1e6)

    def start(
        self, parent: ActiveSpan | None, name: str, kind: SpanKind, attributes: dict[str, Any] | None = None
    ) -> ActiveSpan:
        """Starts a span below `parent`. One that starts after the trace was finished is not recorded."""
        if self._done:
            return ActiveSpan(OVER, parent, name, kind, 0.0)
        span = ActiveSpan(self, parent, name, kind, self.now())
        if attributes:
            span.attributes = attributes
        self.spans.append(span)
        return span

    def span(self, name: str, kind: SpanKind = "chain", **attributes: Any) -> ActiveSpan:
        return self.start(self._below, name, kind, attributes)

    def descend(self, name: str, kind: SpanKind) -> ActiveSpan:
        """Starts the span that all below the root start under from now on."""
        self._below = span = self.start(self._below, name, kind)
        return span

    def set(self, **attributes: Any) -> None:
        """Adds attributes of the whole request; some, such as `session` and `answered`, are columns."""
        if self._done:
            return
        if self.attributes is None:
            self.attributes = attributes
        else:
            self.attributes.update(attributes)

    def set_release(self, release_id: str) -> None:
        if not self._done:
            self.release_id = release_id

    def describes(self, exchange: Exchange) -> bool:
        """Whether what this trace says of what was asked holds for an exchange on its way to a model, too."""
        asked = self.exchange
        return (
            exchange.messages is asked.messages
            and exchange.parameters is asked.parameters
            and exchange.inputs is asked.inputs
            and exchange.prompt == asked.prompt
        )

    def saw_chunk(self, chunk: Chunk) -> None:
        """Takes note of a piece of the answer on its way to the client."""
        if self._done:
            return
        if self.first_chunk is None:
            self.first_chunk = self.now()
        if chunk.text and chunk.index == 0 and self._room > 0:
            self._pieces.append(chunk.text)
            self._room -= len(chunk.text)
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
        if (grounding := chunk.grounding) is not None:
            self.set(
                knowledge=grounding.knowledge,
                generation=grounding.generation,
                answered=grounding.answered,
                grounded=grounding.grounded,
                **{"penstock.grounding.mode": grounding.mode, "penstock.grounding.score": grounding.score},
            )

    def finish(self, error: BaseException | None = None, usage: Usage | None = None) -> None:
        """Ends the trace and hands it to the writer. Never waits, never raises; the first call counts."""
        if self._done:
            return
        self.ended = self.now()
        self._done = True
        try:
            if usage is not None:
                self.usage = usage
            if error is not None:
                self.outcome = outcome_of(error)
            self.answer = "".join(self._pieces)
            self._pieces = []
            # Spans know their trace and the trace its spans: without this, only the collector would find them.
            for span in self.spans:
                span.part_with_trace()
            if (size := self._weight()) > AT_ONCE:
                self._keep(self.record())
            else:
                self.size = int(size)
                self._keep(self)
        except Exception:  # a record that fails must not fail the answer
            logger.exception("trace %s could not be recorded", self.id)

    def record(self) -> TraceRecord:
        """The rows of a trace that has ended."""
        return rows.recorded(self)

    def _weight(self) -> float:
        """About how many bytes this keeps in memory; infinite where something of it may still be changed."""
        size = TRACE_SIZE + SPAN_SIZE + len(self.answer) + weight_of(self.exchange)
        if self.attributes:
            size += weight(self.attributes.values())
        for span in self.spans:
            size += SPAN_SIZE
            if span.attributes:
                size += weight(span.attributes.values())
            if span.call is not None and span.call.sent is not None:
                size += weight_of(span.call.sent) + len(span.call.answer or "")
        return size


def weight_of(exchange: Exchange) -> float:
    """About how many bytes an exchange keeps in memory: its body and what was read from it."""
    if exchange.body:
        return 2 * len(exchange.body)
    texts = [message.content for message in exchange.messages]
    return weight(texts) + weight(exchange.inputs) + len(exchange.prompt)


def weight(values: Iterable[Any]) -> float:
    """About how many bytes values keep in memory; infinite where one of them may still be changed."""
    size = 0.0
    for value in values:
        if type(value) not in FIXED:
            return math.inf
        size += 50 + (len(value) if isinstance(value, str) else 0)
    return size


def outcome_of(error: BaseException | None) -> Outcome:
    """An error as a trace tells it.

    The words of an exception that is not ours may hold anything, a key among them; only its type is kept.
    """
    if error is None:
        return OK
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return Outcome("cancelled", "cancelled", "The client left before the answer was complete.")
    if isinstance(error, PenstockError):
        return Outcome("error", error.code, SECRET.sub("********", content.preview(error.message)))
    return Outcome("error", PenstockError.code, f"An unexpected {type(error).__name__}; the log says more.")


SECRET = re.compile(
    r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|pst|pss|key|rk|ghp|hf|xox[a-z])[-_][A-Za-z0-9_\-]{12,}|AIza[\w\-]{20,})"
)
"""What an upstream's message may repeat of a credential."""
