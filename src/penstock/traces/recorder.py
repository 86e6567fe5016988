"""Records one request while it runs: a tree of timed spans, and what the whole of it came to.

Nothing here waits or fails a request: values are kept as they are given and encoded once, at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange, Usage
from penstock.ids import new_span_id
from penstock.seams import SpanKind
from penstock.traces import content, names
from penstock.traces.span import SpanRecord, SpanStatus, TraceRecord, TraceStatus

logger = logging.getLogger(__name__)

TIE_BITS = 11
_ties = itertools.count(int.from_bytes(os.urandom(2), "big"))


def order_key(started_us: int) -> int:
    """One integer that orders, pages and bounds traces by time: the start, then bits that tell ties apart."""
    return started_us << TIE_BITS | next(_ties) & ((1 << TIE_BITS) - 1)


class RecorderSettings(Struct, frozen=True, kw_only=True):
    """`content` false records no text that people or models wrote. `max_span_bytes` bounds each span's."""

    content: bool = True
    max_span_bytes: int = 256 << 10


class Outcome(Struct, frozen=True):
    """How a request or a step ended."""

    status: TraceStatus
    code: str | None = None
    message: str | None = None


class RecordedTrace(Struct, frozen=True):
    """What the spans of an ended trace have in common."""

    started_us: int
    duration_us: int
    settings: RecorderSettings


class ActiveSpan:
    """A step that is running (`seams.Span`), and the tracer of the steps below it (`seams.Tracer`)."""

    __slots__ = (
        "_trace",
        "attributes",
        "described",
        "duration_us",
        "error",
        "id",
        "kind",
        "name",
        "parent_id",
        "started",
        "status",
    )

    def __init__(self, trace: ActiveTrace | Over, parent_id: str | None, name: str, kind: SpanKind) -> None:
        self.id = new_span_id()
        self.parent_id = parent_id
        self.name = name
        self.kind = kind
        self.attributes: dict[str, Any] = {}
        self.described: names.Described | None = None
        self.started = trace.elapsed_us()
        self.duration_us: int | None = None
        self.status: SpanStatus = "unfinished"
        self.error: str | None = None
        self._trace = trace

    @property
    def tracer(self) -> ActiveSpan:
        return self

    def set(self, **attributes: Any) -> None:
        self.attributes.update(attributes)

    def span(self, name: str, kind: SpanKind = "chain", **attributes: Any) -> ActiveSpan:
        return self._trace.start(self.id, name, kind, attributes)

    def backdate(self, seconds: float) -> None:
        self.started -= round(seconds * 1e6)

    def end(self, error: BaseException | None = None) -> None:
        """Ends the step; the first end counts."""
        if self.duration_us is not None:
            return
        self.duration_us = self._trace.elapsed_us() - self.started
        outcome = outcome_of(error)
        self.status = "ok" if outcome.status == "ok" else "error"
        self.error = outcome.message

    def part_with_trace(self) -> None:
        """The trace is recorded: what is done with this step from now on is not."""
        self._trace = OVER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def record(self, trace: RecordedTrace) -> SpanRecord:
        """What is kept of the step; one that is still open ends with its trace."""
        encoded = content.encode(self.described) if self.described is not None else b"{}"
        if self.attributes:
            named = content.encode(names.standard(self.attributes))
            encoded = named if encoded == b"{}" else encoded[:-1] + b"," + named[1:]
        if not trace.settings.content:
            encoded = content.encode(names.without_content(msgspec.json.decode(encoded)))
        return SpanRecord(
            id=self.id,
            parent_id=self.parent_id,
            name=content.clean(self.name),
            kind=self.kind,
            status=self.status,
            error=self.error,
            started_us=trace.started_us + self.started,
            duration_us=trace.duration_us - self.started if self.duration_us is None else self.duration_us,
            attributes=content.bounded(encoded, trace.settings.max_span_bytes),
        )


class Over:
    """In place of the trace of a step that outlives it."""

    def elapsed_us(self) -> int:
        return 0

    def start(self, parent_id: str | None, name: str, kind: SpanKind, attributes: dict[str, Any]) -> ActiveSpan:
        return ActiveSpan(self, parent_id, name, kind)


OVER = Over()


class ActiveTrace:
    """One request that is running. Its tracer makes spans below the root."""

    def __init__(
        self, exchange: Exchange, clock: Clock, settings: RecorderSettings, keep: Callable[[TraceRecord], None]
    ) -> None:
        self.id = exchange.trace_id
        self._exchange = exchange
        self._clock = clock
        self._settings = settings
        self._keep = keep
        self._started_us = clock.now_us()
        self._zero = clock.monotonic()
        self._release_id = exchange.release_id
        self._first_chunk_us: int | None = None
        self._answer: list[str] = []
        self._room = settings.max_span_bytes if settings.content else 0
        self._usage: Usage | None = None
        self.finish_reason: str | None = None
        self._done = False
        self._spans: list[ActiveSpan] = []
        self.root = self.start(None, f"{exchange.operation} {exchange.model}".strip(), "chain", {})

    def elapsed_us(self) -> int:
        return round((self._clock.monotonic() - self._zero) * 1e6)

    def start(self, parent_id: str | None, name: str, kind: SpanKind, attributes: dict[str, Any]) -> ActiveSpan:
        """Starts a span below `parent_id`. One that starts after the trace was finished is not recorded."""
        span = ActiveSpan(self, parent_id, name, kind)
        span.attributes.update(attributes)
        if not self._done:
            self._spans.append(span)
        return span

    def span(self, name: str, kind: SpanKind = "chain", **attributes: Any) -> ActiveSpan:
        return self.start(self.root.id, name, kind, attributes)

    def set(self, **attributes: Any) -> None:
        """Adds attributes of the whole request; `session`, `knowledge`, `generation` and `answered` are columns."""
        self.root.set(**attributes)

    @property
    def answer(self) -> str:
        """The text so far, as much of it as is kept."""
        return "".join(self._answer)

    def describes(self, exchange: Exchange) -> bool:
        """Whether what this trace says of what was asked holds for an exchange on its way to a model, too."""
        asked = self._exchange
        return (
            exchange.messages is asked.messages
            and exchange.parameters is asked.parameters
            and exchange.inputs is asked.inputs
            and exchange.prompt == asked.prompt
        )

    def set_release(self, release_id: str) -> None:
        self._release_id = release_id

    def saw_chunk(self, chunk: Chunk) -> None:
        """Takes note of a piece of the answer on its way to the client."""
        if self._first_chunk_us is None:
            self._first_chunk_us = self.elapsed_us()
        if chunk.text and chunk.index == 0 and self._room > 0:
            self._answer.append(chunk.text)
            self._room -= len(chunk.text)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
        if (grounding := chunk.grounding) is not None:
            self.root.set(
                knowledge=grounding.knowledge,
                generation=grounding.generation,
                answered=grounding.answered,
                **{"penstock.grounding.mode": grounding.mode, "penstock.grounding.score": grounding.score},
            )

    def finish(self, error: BaseException | None = None, usage: Usage | None = None) -> None:
        """Ends the trace and hands it to the writer. Never waits, never raises; the first call counts."""
        if self._done:
            return
        self._done = True
        self._usage = usage or self._usage
        self.root.end(error)
        try:
            self._keep(self._record(outcome_of(error)))
        except Exception:  # a record that fails must not fail the answer
            logger.exception("trace %s could not be recorded", self.id)
        # Spans know their trace and the trace its spans: without this, only the collector would find them.
        for span in self._spans:
            span.part_with_trace()
        self._spans = []

    def _record(self, outcome: Outcome) -> TraceRecord:
        answer = "".join(self._answer)
        ended = RecordedTrace(self._started_us, self.root.duration_us or 0, self._settings)
        self.root.described = self._described(answer)
        spans = tuple([span.record(ended) for span in self._spans])
        size = 2000 + len(answer) + sum([500 + len(span.attributes) for span in spans])
        return TraceRecord(order_key(self._started_us), self._values(outcome, answer), spans, size)

    def _described(self, answer: str) -> names.Described:
        """What is known of the request."""
        exchange = self._exchange
        known = names.Described(
            operation=names.OPERATIONS.get(exchange.operation, exchange.operation),
            stream=exchange.stream,
            model=exchange.model,
            messages=names.shaped(exchange.messages) or None,
            input=exchange.prompt or exchange.inputs or None,
            output=answer or None,
            finish_reasons=(self.finish_reason,) if self.finish_reason else None,
            body=self._exact_body(),
            release_id=self._release_id or None,
            user=exchange.user,
        )
        known.use(self._usage)
        known.ask(exchange.parameters)
        return known

    def _exact_body(self) -> Any:
        """The caller's body, where its messages hold more than the text that `messages` keeps."""
        body = self._exchange.body
        if not body or not any(isinstance(message.content, list) for message in self._exchange.messages):
            return None
        return msgspec.Raw(body)

    def _values(self, outcome: Outcome, answer: str) -> tuple[Any, ...]:
        """The fields of `TraceSummary`, in their order."""
        exchange, attributes, usage = self._exchange, self.root.attributes, self._usage or NO_USAGE
        content_kept = self._settings.content
        session = attributes.get("session")
        return (
            self.id,
            exchange.project_id,
            exchange.operation,
            exchange.purpose,
            content.clean(exchange.model),
            self._release_id,
            attributes.get("knowledge"),
            attributes.get("generation"),
            outcome.status,
            outcome.code,
            outcome.message,
            self._started_us,
            self.root.duration_us or 0,
            self._first_chunk_us,
            usage.input,
            usage.cached_input,
            usage.output,
            usage.reasoning,
            usage.cost_nanos,
            attributes.get("answered"),
            None,
            content.preview(question_of(exchange)) if content_kept else None,
            content.preview(answer) if content_kept else None,
            content.clean(exchange.user) if exchange.user else None,
            content.clean(str(session)) if session else None,
        )


class NoUsage(Struct, frozen=True):
    """In place of a `Usage` that never came."""

    input: None = None
    cached_input: None = None
    output: None = None
    reasoning: None = None
    cost_nanos: None = None


NO_USAGE = NoUsage()


def question_of(exchange: Exchange) -> str:
    """What was asked: the last words of the user, the prompt, or the first text to embed."""
    for message in reversed(exchange.messages):
        if message.role == "user":
            return message.text
    return exchange.prompt or (exchange.inputs[0] if exchange.inputs else "")


def outcome_of(error: BaseException | None) -> Outcome:
    """An error as a trace tells it.

    The words of an exception that is not ours may hold anything, a key among them; only its type is kept.
    """
    if error is None:
        return Outcome("ok")
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return Outcome("cancelled", "cancelled", "The client left before the answer was complete.")
    if isinstance(error, PenstockError):
        return Outcome("error", error.code, SECRET.sub("********", content.preview(error.message)))
    return Outcome("error", PenstockError.code, f"An unexpected {type(error).__name__}; the log says more.")


SECRET = re.compile(
    r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|pst|pss|key|rk|ghp|hf|xox[a-z])[-_][A-Za-z0-9_\-]{12,}|AIza[\w\-]{20,})"
)
"""What an upstream's message may repeat of a credential."""
