"""The names of attributes: plain keywords in our code, the field's conventions in what is stored.

OpenTelemetry's GenAI conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/) where they name a
thing, OpenInference (https://github.com/Arize-ai/openinference) where they do not, `penstock.*` for our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from penstock.exchange import Constraint, Exchange, Message, Parameters, Usage

STANDARD = {
    "answer": "output.value",
    "answered": "penstock.answered",
    "cache": "penstock.cache",
    "documents": "retrieval.documents",
    "finish_reason": "gen_ai.response.finish_reasons",
    "generation": "penstock.knowledge.generation",
    "grounded": "penstock.grounded",
    "hits": "retrieval.documents",
    "input": "input.value",
    "knowledge": "penstock.knowledge.name",
    "messages": "gen_ai.input.messages",
    "model": "gen_ai.request.model",
    "output": "output.value",
    "prompt": "input.value",
    "provider": "gen_ai.provider.name",
    "query": "input.value",
    "question": "input.value",
    "reader": "penstock.reader",
    "release_id": "penstock.release",
    "session": "session.id",
    "user": "user.id",
}
"""Keyword to stored name; a keyword that is not here is stored as it is."""

NO_CONTENT = frozenset(
    {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.model",
        "penstock.backend",
        "penstock.cache",
        "penstock.difficulty",
        "penstock.error.kind",
        "penstock.hedge",
        "penstock.knowledge.name",
        "penstock.reason",
        "penstock.release",
        "session.id",
        "user.id",
    }
)
"""Attributes with text that is not what people wrote; the only text kept where content is not recorded."""

OPERATIONS = {"chat": "chat", "complete": "text_completion", "embed": "embeddings"}
"""Our operations to `gen_ai.operation.name`; the others have no convention and keep their name."""


class Described(
    Struct,
    omit_defaults=True,
    rename={
        "messages": "gen_ai.input.messages",
        "input": "input.value",
        "output": "output.value",
        "finish_reasons": "gen_ai.response.finish_reasons",
        "input_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "cached_input": "gen_ai.usage.cache_read.input_tokens",
        "cache_write": "gen_ai.usage.cache_creation.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
        "cost_nanos": "penstock.cost_nanos",
        "estimated": "penstock.usage.estimated",
        "max_tokens": "gen_ai.request.max_tokens",
        "temperature": "gen_ai.request.temperature",
        "top_p": "gen_ai.request.top_p",
        "top_k": "gen_ai.request.top_k",
        "seed": "gen_ai.request.seed",
        "frequency_penalty": "gen_ai.request.frequency_penalty",
        "presence_penalty": "gen_ai.request.presence_penalty",
        "stop": "gen_ai.request.stop_sequences",
        "n": "gen_ai.request.choice.count",
        "tool_choice": "penstock.request.tool_choice",
        "reasoning_effort": "penstock.request.reasoning_effort",
        "constraint": "penstock.request.constraint",
        "operation": "gen_ai.operation.name",
        "stream": "gen_ai.request.stream",
        "model": "gen_ai.request.model",
        "body": "penstock.request.body",
        "release_id": "penstock.release",
        "user": "user.id",
    },
):
    """What is known of a request, under its stored names: what `said`, `used`, `parametrised` give, and the rest.

    It says nothing that attributes could not, but is made and encoded in one go.
    """

    messages: Sequence[Any] | None = None
    input: str | Sequence[str] | None = None
    output: str | None = None
    finish_reasons: tuple[str, ...] | None = None

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost_nanos: int | None = None
    estimated: bool = False

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    n: int = 1
    tool_choice: str | None = None
    reasoning_effort: str | None = None
    constraint: Constraint | None = None

    operation: str | None = None
    stream: bool | None = None
    model: str | None = None
    body: Any = None
    release_id: str | None = None
    user: str | None = None


UNSAID: tuple[Any, ...] = (None,) * 4
UNUSED: tuple[Any, ...] = (*(None,) * 6, False)


def said(exchange: Exchange, answer: str, finish_reason: str | None) -> tuple[Any, ...]:
    """What was asked and what was answered, as `Described` begins."""
    return (
        shaped(exchange.messages) or None,
        exchange.prompt or exchange.inputs or None,
        answer or None,
        (finish_reason,) if finish_reason else None,
    )


def used(usage: Usage | None) -> tuple[Any, ...]:
    """Usage as `Described` goes on. The conventions count cached input inside input, reasoning inside output."""
    if usage is None:
        return UNUSED
    return (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_input,
        usage.cache_write,
        usage.reasoning,
        usage.cost_nanos,
        usage.estimated,
    )


def parametrised(parameters: Parameters) -> tuple[Any, ...]:
    """What the caller said of how to generate, as `Described` goes on."""
    return (
        parameters.max_tokens,
        parameters.temperature,
        parameters.top_p,
        parameters.top_k,
        parameters.seed,
        parameters.frequency_penalty,
        parameters.presence_penalty,
        parameters.stop or None,
        parameters.n,
        parameters.tool_choice,
        parameters.reasoning_effort,
        parameters.constraint,
    )


class Called(
    Struct,
    omit_defaults=True,
    rename={
        "model": "gen_ai.request.model",
        "provider": "gen_ai.provider.name",
        "served_by": "gen_ai.response.model",
        "first_chunk_us": "penstock.first_chunk_us",
        "as_asked": "penstock.as_asked",
    },
):
    """A call of a model. `as_asked` stands for everything that the root of the trace says of what was asked and
    answered: it is filled in again when the trace is read.
    """

    model: str
    provider: str
    served_by: str | None = None
    first_chunk_us: int | None = None
    as_asked: bool | None = None


def standard(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes under their stored names; `Usage`, `Parameters` and messages in the conventions' shapes."""
    named: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, Usage):
            named.update(msgspec.to_builtins(Described(*UNSAID, *used(value))))
        elif isinstance(value, Parameters):
            named.update(msgspec.to_builtins(Described(*UNSAID, *UNUSED, *parametrised(value))))
        else:
            named[STANDARD.get(name, name)] = shaped(value) if isinstance(value, tuple | list) else value
    if isinstance(reason := named.get("gen_ai.response.finish_reasons"), str):
        named["gen_ai.response.finish_reasons"] = [reason]
    return named


AS_ASKED = "penstock.as_asked"
OF_ITSELF = frozenset({"gen_ai.operation.name", "gen_ai.request.stream", "gen_ai.request.model"})
"""What `as_asked` does not stand for although the root has it."""


def filled(attributes: dict[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a call with what it has in common with the root of its trace."""
    if not attributes.pop(AS_ASKED, False):
        return attributes
    common = {
        name: value
        for name, value in root.items()
        if name not in OF_ITSELF and (name.startswith("gen_ai.") or name in ("input.value", "output.value"))
    }
    if (cost := root.get("penstock.cost_nanos")) is not None:
        common["penstock.cost_nanos"] = cost
    return common | attributes


class TextPart(Struct):
    content: str
    type: str = "text"


class ShapedMessage(Struct):
    role: str
    parts: Sequence[TextPart]


def shaped(value: Sequence[Any]) -> Sequence[Any]:
    """Messages as the conventions write them: a role and parts."""
    if value and isinstance(value[0], Message):
        return [message(each) for each in value]
    return value


def message(value: Message) -> ShapedMessage:
    content = value.content
    if content is None or isinstance(content, str):
        return ShapedMessage(value.role, (TextPart(content or ""),))
    return ShapedMessage(value.role, [TextPart(part.text or "", part.type) for part in content])


def without_content(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Only numbers, yes and no, and the text that is known not to be anybody's words."""
    return {
        name: value
        for name, value in attributes.items()
        if name in NO_CONTENT or value is None or isinstance(value, (bool, int, float))
    }
