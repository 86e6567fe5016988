"""What a model is asked for an answer: the prompt filled in around the conversation, its chunks, and their end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from penstock.exchange import Chunk, Constraint, Exchange, Message, Parameters
from penstock.ids import new_id
from penstock.knowledge.answering.asked import last_question
from penstock.knowledge.values import Hit
from penstock.prompts.answer import FACTS, PassageValue, answer_values
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
        """The exchange for the model, as a span records it. Passages are numbered from 1."""
        values = [passage_value(number, hit, hit.text) for number, hit in enumerate(passages, start=1)]
        with span(exchange.tracer, "prompt", "prompt", template=prompt.digest) as recorded:
            filled = answer_values(self.app, last_question(exchange), values, exchange.options.get(FACTS, {}))
            messages = conversation(prompt.render(filled), exchange.messages)
            if recorded is not None:
                recorded.set(messages=messages)
        parameters = merged(exchange.parameters, prompt)
        if constraint is not None:
            parameters = replace(parameters, constraint=constraint)
        return self.child(exchange, messages, parameters)

    def child(self, exchange: Exchange, messages: tuple[Message, ...], parameters: Parameters) -> Exchange:
        """A child of the caller's exchange with messages of its own; the caller's body does not travel."""
        return exchange.replace(
            id=new_id("req"),
            parent_id=exchange.id,
            app=exchange.model,
            operation="chat",
            model=self.name,
            messages=messages,
            prompt="",
            parameters=parameters,
            wants_usage=True,
            dialect="",
            body=b"",
            options={name: value for name, value in exchange.options.items() if name != FACTS},
        )

    def chunks(self, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        """What the model writes; its work ends when nobody reads any more."""
        return written(self.call, exchange)


async def written(call: Call, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
    """What a call gives, closed with the reader, so that its work ends when nobody reads any more."""
    chunks = call(exchange)
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if (close := getattr(chunks, "aclose", None)) is not None:
            await close()


async def text_of(call: Call, exchange: Exchange) -> str:
    """The whole text that a call gives."""
    async with contextlib.aclosing(written(call, exchange)) as chunks:
        return "".join([chunk.text async for chunk in chunks])


def ended(end: Chunk, chunk: Chunk) -> Chunk:
    """The end of an answer with what another chunk says of it."""
    return replace(end, finish_reason=chunk.finish_reason or end.finish_reason, usage=chunk.usage or end.usage)


def passage_value(number: int, hit: Hit, text: str) -> PassageValue:
    """A text of a passage, the whole of it or a sentence, as a prompt sees it."""
    return PassageValue(
        number=number,
        document=hit.document,
        text=text,
        title=hit.title,
        heading=" > ".join(hit.heading),
        location=hit.location,
        page=hit.page,
        url=hit.url,
    )


def conversation(rendered: Sequence[Message], messages: Sequence[Message]) -> tuple[Message, ...]:
    """The prompt's messages with the caller's: its system messages after the prompt's own, its earlier turns before
    the last message of the prompt, which holds its question."""
    system = [message for message in rendered if message.role == "system"]
    turns = [message for message in rendered if message.role != "system"]
    users = [at for at, message in enumerate(messages) if message.role == "user" and message.text.strip()]
    earlier = messages[: users[-1]] if users else ()
    own = [Message("system", message.text) for message in messages if message.role in ("system", "developer")]
    history = [message for message in earlier if message.role in ("user", "assistant") and message.text.strip()]
    return (*system, *own, *turns[:-1], *history, *turns[-1:])


def merged(asked: Parameters, prompt: Prompt) -> Parameters:
    """The caller's parameters; where it says nothing, those of the prompt's front matter."""
    own = prompt.settings
    return replace(
        asked,
        temperature=own.temperature if asked.temperature is None else asked.temperature,
        top_p=own.top_p if asked.top_p is None else asked.top_p,
        max_tokens=own.max_tokens if asked.max_tokens is None else asked.max_tokens,
        seed=own.seed if asked.seed is None else asked.seed,
        stop=asked.stop or own.stop,
    )


def span(
    tracer: Tracer | None, name: str, kind: SpanKind = "chain", **attributes: Any
) -> contextlib.AbstractContextManager[Span | None]:
    """A span where the exchange is traced."""
    return contextlib.nullcontext() if tracer is None else tracer.span(name, kind, **attributes)
