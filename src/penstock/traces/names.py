"""The names of attributes: plain keywords in our code, the field's conventions in what is stored.

OpenTelemetry's GenAI conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/) where they name a
thing, OpenInference (https://github.com/Arize-ai/openinference) where they do not, `penstock.*` for our own.
"""

from __future__ import annotations

from collections.abc import Mapping
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

PLAIN = (str, int, float, type(None))

OPERATIONS = {"chat": "chat", "complete": "text_completion", "embed": "embeddings"}
"""Our operations to `gen_ai.operation.name`; the others have no convention and keep their name."""


def standard(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes under their stored names; `Usage`, `Parameters` and messages in the conventions' shapes."""
    named: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, PLAIN):
            named[STANDARD.get(name, name)] = value
        elif isinstance(value, Usage):
            named.update(usage(value))
        elif isinstance(value, Parameters):
            named.update(parameters(value))
        else:
            named[STANDARD.get(name, name)] = shaped(value)
    if isinstance(reason := named.get("gen_ai.response.finish_reasons"), str):
        named["gen_ai.response.finish_reasons"] = [reason]
    return named


def shaped(value: Any) -> Any:
    """Messages as the conventions write them: a role and parts."""
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], Message):
        return [message(each) for each in value]
    return value


def message(value: Message) -> dict[str, Any]:
    if value.content is None or isinstance(value.content, str):
        parts = [{"type": "text", "content": value.content or ""}]
    else:
        parts = [{"type": part.type, "content": part.text or ""} for part in value.content]
    return {"role": value.role, "parts": parts}


def usage(value: Usage) -> dict[str, Any]:
    """The conventions count cached input inside the input, and reasoning inside the output."""
    named: dict[str, Any] = {
        "gen_ai.usage.input_tokens": value.prompt_tokens,
        "gen_ai.usage.output_tokens": value.completion_tokens,
    }
    if value.cached_input is not None:
        named["gen_ai.usage.cache_read.input_tokens"] = value.cached_input
    if value.reasoning is not None:
        named["gen_ai.usage.reasoning.output_tokens"] = value.reasoning
    if value.cost_nanos is not None:
        named["penstock.cost_nanos"] = value.cost_nanos
    return named


def parameters(value: Parameters) -> dict[str, Any]:
    """Only what the caller said."""
    said = {
        "gen_ai.request.max_tokens": value.max_tokens,
        "gen_ai.request.temperature": value.temperature,
        "gen_ai.request.top_p": value.top_p,
        "gen_ai.request.seed": value.seed,
        "gen_ai.request.stop_sequences": list(value.stop) or None,
        "penstock.request.constraint": msgspec.to_builtins(value.constraint),
    }
    return {name: setting for name, setting in said.items() if setting is not None}


def without_content(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Only numbers, yes and no, and the text that is known not to be anybody's words."""
    return {
        name: value
        for name, value in attributes.items()
        if name in NO_CONTENT or value is None or isinstance(value, (bool, int, float))
    }
