"""The call of a model as a span: what was sent, what came back, how long it took."""

from __future__ import annotations

import time

from penstock.gateway.flight import Chunks, Flight, Place, Stage


class Call(Stage):
    """Wraps the work of a leaf in a span. Apps make spans of their own for what they do."""

    runs_at: Place = "leaf"

    async def inbound(self, flight: Flight) -> None:
        exchange, target = flight.exchange, flight.target
        assert target is not None
        if exchange.tracer is None:
            return
        sent: dict[str, object] = {"model": target.name, "provider": target.provider.name}
        if exchange.operation == "chat":
            sent["messages"] = exchange.messages
        else:
            sent["input"] = exchange.prompt or list(exchange.inputs)
        flight.span = exchange.tracer.span(
            f"{exchange.operation} {target.name}",
            "embedding" if exchange.operation == "embed" else "llm",
            parameters=exchange.parameters,
            **sent,
        )
        flight.exchange = exchange.replace(tracer=flight.span.tracer)

    async def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        texts: list[str] = []
        started, first, finish_reason = time.monotonic(), None, None
        try:
            async for chunk in chunks:
                if first is None:
                    first = time.monotonic() - started
                if chunk.text:
                    texts.append(chunk.text)
                finish_reason = chunk.finish_reason or finish_reason
                yield chunk
        finally:
            if flight.span is not None:
                came: dict[str, object] = {"output": "".join(texts), "finish_reason": finish_reason}
                came["usage"] = flight.usage
                came["penstock.first_chunk_us"] = None if first is None else int(first * 1e6)
                flight.span.set(**{name: value for name, value in came.items() if value not in (None, "")})

    def end(self, flight: Flight) -> None:
        if flight.span is not None:
            error = flight.error
            flight.span.__exit__(type(error) if error else None, error, None)
