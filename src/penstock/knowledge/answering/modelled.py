"""What a model is asked for an answer: the prompt filled in, its chunks, and the end of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from penstock.exchange import Chunk, Constraint, Exchange
from penstock.knowledge.composing import model_exchange, model_messages
from penstock.knowledge.values import Hit
from penstock.prompts.template import Prompt
from penstock.seams import Call, Span, SpanKind, Tracer


class Model(Struct, frozen=True):
    """The model that an app asks: how to call it, its name, and who asks."""

    call: Call
    name: str
    app: str

    def sent(
        self, exchange: Exchange, prompt: Prompt, passages: Sequence[Hit], constraint: Constraint | None = None
    ) -> Exchange:
        """The exchange for the model, as a span records it."""
        with span(exchange.tracer, "prompt", "prompt", template=prompt.digest) as recorded:
            messages = model_messages(exchange, self.app, prompt, passages)
            if recorded is not None:
                recorded.set(messages=messages)
        made = model_exchange(exchange, self.name, prompt, messages)
        if constraint is None:
            return made
        return made.replace(parameters=replace(made.parameters, constraint=constraint))

    async def chunks(self, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        """What the model writes; its work ends when nobody reads any more."""
        chunks = self.call(exchange)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()


def ended(end: Chunk, chunk: Chunk) -> Chunk:
    """The end of an answer with what another chunk says of it."""
    return replace(end, finish_reason=chunk.finish_reason or end.finish_reason, usage=chunk.usage or end.usage)


def span(
    tracer: Tracer | None, name: str, kind: SpanKind = "chain", **attributes: Any
) -> contextlib.AbstractContextManager[Span | None]:
    """A span where the exchange is traced."""
    return contextlib.nullcontext() if tracer is None else tracer.span(name, kind, **attributes)
