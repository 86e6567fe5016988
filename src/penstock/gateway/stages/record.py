"""Every request becomes a trace: also one that was refused, failed, or whose client left."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.exchange import Chunk
from penstock.gateway.flight import Flight, Place, Stage
from penstock.traces.store import TraceStore


class Record(Stage):
    """Begins the trace that all spans of the request hang below, and finishes it with what was delivered."""

    runs_at: Place = "root"

    def __init__(self, traces: TraceStore) -> None:
        self._traces = traces

    def inbound(self, flight: Flight) -> None:
        flight.trace = self._traces.begin(flight.exchange)
        if session := flight.exchange.options.get("session"):
            flight.trace.set(session=session)
        flight.exchange = replace(flight.exchange, tracer=flight.trace)

    def saw(self, flight: Flight, chunk: Chunk) -> None:
        assert flight.trace is not None
        flight.trace.saw_chunk(chunk)

    def end(self, flight: Flight) -> None:
        assert flight.trace is not None
        flight.trace.set_release(flight.exchange.release_id)
        flight.trace.finish(flight.error, flight.usage)
