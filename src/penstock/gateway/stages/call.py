"""The call of a model as a span: what was sent, what came back, how long it took."""

from __future__ import annotations

import time

from msgspec.structs import replace

from penstock.exchange import Chunk
from penstock.gateway.flight import Flight, Place, Stage
from penstock.seams import SpanKind
from penstock.traces.recorder import ActiveSpan, ModelCall


class Call(Stage):
    """Wraps the work of a leaf in a span. Apps make spans of their own for what they do."""

    runs_at: Place = "leaf"

    def inbound(self, flight: Flight) -> None:
        exchange, target = flight.exchange, flight.target
        assert target is not None
        if exchange.tracer is None:
            return
        kind: SpanKind = "embedding" if exchange.operation == "embed" else "llm"
        name = f"{exchange.operation} {target.name}"
        flight.called = time.monotonic()
        if flight.trace is not None:  # all that follows in the trace is part of the call
            flight.span = flight.trace.descend(name, kind)
        else:
            flight.span = exchange.tracer.span(name, kind)
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
            span.call = made(flight)
        span.__exit__(type(error) if error else None, error, None)


def made(flight: Flight) -> ModelCall:
    """What was sent, and what came of it."""
    exchange, target, trace, first = flight.exchange, flight.target, flight.trace, flight.first_chunk
    assert target is not None
    as_asked = trace is not None and trace.describes(exchange)
    return ModelCall(
        None if as_asked else replace(exchange, tracer=None),  # with it only the collector would find the trace
        target.name,
        target.served_by or target.provider.name,
        flight.served_by,
        None if first is None else int((first - flight.called) * 1e6),
        flight.usage,
        "".join(flight.texts) if trace is None else None,
        flight.finish_reason,
    )
