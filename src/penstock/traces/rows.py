"""What a request that is over becomes in the database: one row of it, one of each of its steps."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.exchange import Exchange, Usage
from penstock.ids import new_span_id
from penstock.traces import content, names
from penstock.traces.span import TraceRecord

if TYPE_CHECKING:
    from penstock.traces.recorder import ActiveSpan, ActiveTrace, ModelCall, RecorderSettings

TIE_BITS = 11
_ties = itertools.count(int.from_bytes(os.urandom(2), "big"))

NOTHING: dict[str, Any] = {}


def order_key(started_us: int) -> int:
    """One integer that orders, pages and bounds traces by time: the start, then bits that tell ties apart."""
    return started_us << TIE_BITS | next(_ties) & ((1 << TIE_BITS) - 1)


def recorded(trace: ActiveTrace) -> TraceRecord:
    """The rows of a trace that has ended. A step that is still open ends with its trace."""
    exchange = trace.exchange
    key = order_key(trace.started_us)
    root_id = new_span_id()
    duration_us = trace.at_us(trace.ended)
    rows = [
        (
            key,
            exchange.project_id,
            root_id,
            None,
            content.clean(f"{exchange.operation} {exchange.model}".strip()),
            "chain",
            "ok" if trace.outcome.status == "ok" else "error",
            trace.outcome.message,
            trace.started_us,
            duration_us,
            attributes(described(trace), trace.attributes, trace.settings),
        )
    ]
    for span in trace.spans:
        span.id = new_span_id()
        rows.append(span_row(trace, span, key, root_id if span.parent is None else span.parent.id))
    return TraceRecord(trace_row(trace, key, duration_us), rows)


def trace_row(trace: ActiveTrace, key: int, duration_us: int) -> tuple[Any, ...]:
    """The key and the fields of `TraceSummary`, in their order."""
    exchange, outcome, usage = trace.exchange, trace.outcome, trace.usage
    said = trace.attributes or NOTHING
    content_kept = trace.settings.content
    session = said.get("session")
    return (
        key,
        trace.id,
        exchange.project_id,
        exchange.operation,
        exchange.purpose,
        content.clean(exchange.model),
        trace.release_id,
        said.get("knowledge"),
        said.get("generation"),
        outcome.status,
        outcome.code,
        outcome.message,
        trace.started_us,
        duration_us,
        None if trace.first_chunk is None else trace.at_us(trace.first_chunk),
        *((None,) * 5 if usage is None else tokens(usage)),
        said.get("answered"),
        said.get("grounded"),
        None,
        content.preview(question_of(exchange)) if content_kept else None,
        content.preview(trace.answer) if content_kept else None,
        content.clean(exchange.user) if exchange.user else None,
        content.clean(str(session)) if session else None,
    )


def tokens(usage: Usage) -> tuple[int | None, ...]:
    return usage.input, usage.cached_input, usage.output, usage.reasoning, usage.cost_nanos


def span_row(trace: ActiveTrace, span: ActiveSpan, key: int, parent_id: str) -> tuple[Any, ...]:
    """The key, the project, and the fields of `SpanRecord`, in their order."""
    outcome, started = span.outcome, trace.at_us(span.started)
    status = "unfinished" if outcome is None else "ok" if outcome.status == "ok" else "error"
    return (
        key,
        trace.exchange.project_id,
        span.id,
        parent_id,
        content.clean(span.name),
        span.kind,
        status,
        None if outcome is None else outcome.message,
        trace.started_us + started,
        trace.at_us(trace.ended if outcome is None else span.ended) - started,
        attributes(
            b"{}" if span.call is None else described_call(trace, span.call), span.attributes, trace.settings
        ),
    )


def attributes(known: bytes, others: dict[str, Any] | None, settings: RecorderSettings) -> bytearray:
    """A step's attributes as JSON: those that every such step has, and the others."""
    encoded = content.joined(known, content.encode(names.standard(others))) if others else known
    if not settings.content:
        encoded = content.encode(names.without_content(msgspec.json.decode(encoded)))
    if len(encoded) > settings.max_span_bytes:
        encoded = content.bounded(encoded, settings.max_span_bytes)
    return bytearray(encoded)  # what SQLite's driver takes at once


def described(trace: ActiveTrace) -> bytes:
    """What is known of the request."""
    exchange = trace.exchange
    known = names.Described(
        *names.said(exchange, trace.answer, trace.finish_reason),
        *names.used(trace.usage),
        *names.parametrised(exchange.parameters),
    )
    known.operation = names.OPERATIONS.get(exchange.operation, exchange.operation)
    known.stream = exchange.stream
    known.model = exchange.model
    known.body = exact_body(exchange)
    known.release_id = trace.release_id or None
    known.user = exchange.user
    return content.encode(known)


def described_call(trace: ActiveTrace, call: ModelCall) -> bytes:
    """What was sent to a model, and what came of it."""
    sent = call.sent
    called = names.Called(call.model, call.provider, call.served_by or None, call.first_chunk_us)
    if sent is None:
        called.as_asked = True
        return content.encode(called)
    if call.answer is None:
        spoken = names.said(sent, trace.answer, trace.finish_reason)
    else:
        spoken = names.said(sent, call.answer, call.finish_reason)
    known = names.Described(*spoken, *names.used(call.usage), *names.parametrised(sent.parameters))
    return content.joined(content.encode(called), content.encode(known))


def exact_body(exchange: Exchange) -> Any:
    """The caller's body, where its messages hold more than the text that `messages` keeps."""
    if not exchange.body:
        return None
    for message in exchange.messages:
        if isinstance(message.content, list):
            return msgspec.Raw(exchange.body)
    return None


def question_of(exchange: Exchange) -> str:
    """What was asked: the last words of the user, the prompt, or the first text to embed."""
    for message in reversed(exchange.messages):
        if message.role == "user":
            return message.text
    return exchange.prompt or (exchange.inputs[0] if exchange.inputs else "")
