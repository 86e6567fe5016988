"""The call of a model as a span: what was sent, what came back, how long it took."""

from __future__ import annotations

import time

from msgspec.structs import replace

from penstock.exchange import Chunk
from penstock.gateway.flight import Flight, Place, Stage
from penstock.seams import SpanKind
from penstock.traces.names import Described, shaped
from penstock.traces.recorder import ActiveSpan


class Call(Stage):
    """Wraps the work of a leaf in a span. Apps make spans of their own for what they do."""

    runs_at: Place = "leaf"

    def inbound(self, flight: Flight) -> None:
        exchange, target = flight.exchange, flight.target
        assert target is not None
        if exchange.tracer is None:
            return
        kind: SpanKind = "embedding" if exchange.operation == "embed" else "llm"
        flight.called = time.monotonic()
        flight.span = exchange.tracer.span(f"{exchange.operation} {target.name}", kind)
        flight.exchange = replace(exchange, tracer=flight.span.tracer)

    def saw(self, flight: Flight, chunk: Chunk) -> None:
        if flight.trace is not None:  # the trace of the request keeps the answer
            return
        if chunk.text and chunk.index == 0:
            flight.texts.append(chunk.text)
        if chunk.finish_reason is not None:
            flight.finish_reason = chunk.finish_reason

    def end(self, flight: Flight) -> None:
        span, error = flight.span, flight.error
        if span is None:
            return
        if isinstance(span, ActiveSpan):
            span.described = described(flight)
        span.__exit__(type(error) if error else None, error, None)


def described(flight: Flight) -> Described:
    """What was sent, and what came of it."""
    exchange, target = flight.exchange, flight.target
    assert target is not None
    first = flight.first_chunk
    known = Described(
        model=target.name,
        provider=target.served_by or target.provider.name,
        served_by=flight.served_by or None,
        first_chunk_us=None if first is None else int((first - flight.called) * 1e6),
    )
    trace = flight.trace
    if trace is not None and trace.describes(exchange):
        known.as_asked = True
        return known
    known.messages = shaped(exchange.messages) or None
    known.input = exchange.prompt or exchange.inputs or None
    known.output = ("".join(flight.texts) if trace is None else trace.answer) or None
    finish_reason = flight.finish_reason if trace is None else trace.finish_reason
    known.finish_reasons = (finish_reason,) if finish_reason else None
    known.use(flight.usage)
    known.ask(exchange.parameters)
    return known
