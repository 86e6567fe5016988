"""The names of attributes: plain keywords in our code, the field's conventions in what is stored.

OpenTelemetry's GenAI conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/) where they name a
thing, OpenInference (https://github.com/Arize-ai/openinference) where they do not, `penstock.*` for our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.exchange import Message, Parameters, Usage

STANDARD = {
    "answer": "output.value",
    "answered": "penstock.answered",
    "documents": "retrieval.documents",
    "finish_reason": "gen_ai.response.finish_reasons",
    "generation": "penstock.knowledge.generation",
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
        "penstock.knowledge.name",
        "penstock.release",
        "session.id",
        "user.id",
    }
)
"""Attributes with text that is not what people wrote; the only text kept where content is not recorded."""

OPERATIONS = {"chat": "chat", "complete": "text_completion", "embed": "embeddings"}
"""Our operations to `gen_ai.operation.name`; the others have no convention and keep their name."""


def standard(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes under their stored names; `Usage`, `Parameters` and messages in the conventions' shapes."""
    named: dict[str, Any] = {}
    get = STANDARD.get
    for name, value in attributes.items():
        kind = type(value)
        if kind is str or kind is int:
            named[get(name, name)] = value
        elif kind is Usage:
            usage(value, named)
        elif kind is Parameters:
            parameters(value, named)
        else:
            named[get(name, name)] = shaped(value) if kind is tuple or kind is list else value
    if type(reason := named.get("gen_ai.response.finish_reasons")) is str:
        named["gen_ai.response.finish_reasons"] = [reason]
    return named


def shaped(value: Sequence[Any]) -> Sequence[Any]:
    """Messages as the conventions write them: a role and parts."""
    if value and type(value[0]) is Message:
        return [message(each) for each in value]
    return value


def message(value: Message) -> dict[str, Any]:
    content = value.content
    if content is None or isinstance(content, str):
        return {"role": value.role, "parts": ({"type": "text", "content": content or ""},)}
    return {"role": value.role, "parts": [{"type": part.type, "content": part.text or ""} for part in content]}


def usage(value: Usage, named: dict[str, Any]) -> None:
    """The conventions count cached input inside the input, and reasoning inside the output."""
    named["gen_ai.usage.input_tokens"] = value.prompt_tokens
    named["gen_ai.usage.output_tokens"] = value.completion_tokens
    if value.cached_input is not None:
        named["gen_ai.usage.cache_read.input_tokens"] = value.cached_input
    if value.cache_write is not None:
        named["gen_ai.usage.cache_creation.input_tokens"] = value.cache_write
    if value.reasoning is not None:
        named["gen_ai.usage.reasoning.output_tokens"] = value.reasoning
    if value.cost_nanos is not None:
        named["penstock.cost_nanos"] = value.cost_nanos


NUMBERS = (
    ("max_tokens", "gen_ai.request.max_tokens"),
    ("temperature", "gen_ai.request.temperature"),
    ("top_p", "gen_ai.request.top_p"),
    ("top_k", "gen_ai.request.top_k"),
    ("seed", "gen_ai.request.seed"),
    ("frequency_penalty", "gen_ai.request.frequency_penalty"),
    ("presence_penalty", "gen_ai.request.presence_penalty"),
    ("tool_choice", "penstock.request.tool_choice"),
    ("reasoning_effort", "penstock.request.reasoning_effort"),
)


def parameters(value: Parameters, named: dict[str, Any]) -> None:
    """Only what the caller said."""
    for field, name in NUMBERS:
        if (said := getattr(value, field)) is not None:
            named[name] = said
    if value.stop:
        named["gen_ai.request.stop_sequences"] = value.stop
    if value.n != 1:
        named["gen_ai.request.choice.count"] = value.n
    if value.constraint is not None:
        named["penstock.request.constraint"] = msgspec.to_builtins(value.constraint)


def without_content(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Only numbers, yes and no, and the text that is known not to be anybody's words."""
    return {
        name: value
        for name, value in attributes.items()
        if name in NO_CONTENT or value is None or isinstance(value, (bool, int, float))
    }
