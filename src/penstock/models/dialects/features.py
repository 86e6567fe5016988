"""What a request asks for and what a target can do: what does not fit, and the request without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from msgspec.structs import replace

from penstock.exchange import Exchange, Message, Parameters
from penstock.models.dialects.anthropic import features as anthropic
from penstock.models.dialects.needs import (
    NEUTRAL,
    SAMPLING,
    Need,
    format_feature,
    of_exchange,
    of_parameters,
    part_feature,
)
from penstock.models.dialects.openai import features as openai
from penstock.models.dialects.responses import requests as responses

UNSAID: dict[str, Callable[[Exchange], Iterable[Need]]] = {
    "openai": lambda exchange: openai.unsaid(exchange.body, exchange.operation),
    "anthropic": lambda exchange: anthropic.unsaid(exchange.body),
    "responses": lambda exchange: responses.asked(exchange).unsaid,
}
"""By dialect, what a body asks for that the neutral form cannot say."""

TURNS = {"anthropic": "messages", "responses": "input"}
"""What dialects call the conversation whose turns have other places in the neutral form."""

PARAMS: dict[str, dict[str, str]] = {
    "anthropic": {
        "stop": "stop_sequences",
        "response_format": "output_config.format",
        "reasoning_effort": "output_config.effort",
        "reasoning_tokens": "thinking.budget_tokens",
    },
    "responses": {"response_format": "text.format", "reasoning_effort": "reasoning.effort", "logprobs": "include"},
}
"""What dialects call the fields that ask for a feature."""

PLAIN = {name: getattr(Parameters(), name) for name in NEUTRAL & frozenset(Parameters.__struct_fields__)}
"""Features that a parameter of the same name asks for, by the value with which it does not."""

BY_CONTENT = (NEUTRAL - frozenset(PLAIN)) | {"tools", "reasoning_effort"}

WHOLE = frozenset({"several prompts", "token ids"})
"""What a request consists of, so that it cannot be left out."""

TRANSLATABLE = ("chat", "complete", "embed")


class Able(Protocol):
    """What a target can do.

    Bodies of the dialects in `forwards` are passed on as they came, and only what it `lacks` is looked for. Of
    others `features` are what it can do beyond plain text, `None` where that is all that the neutral form can say.
    A target that forwards nothing runs here, and takes the parameters in `SAMPLING`.
    """

    @property
    def features(self) -> frozenset[str] | None: ...
    @property
    def forwards(self) -> frozenset[str]: ...
    @property
    def lacks(self) -> frozenset[str]: ...


def needed(exchange: Exchange) -> Iterator[Need]:
    """Everything that a request asks for beyond plain text."""
    if (unsaid := UNSAID.get(exchange.dialect)) is not None:
        yield from unsaid(exchange)
    for need in of_exchange(exchange):
        yield Need(need.feature, param_of(need.param, exchange))


def unmet(exchange: Exchange, able: Able) -> tuple[Need, ...]:
    """What a request asks for that a target cannot do. Free where bodies are forwarded and `lacks` is empty."""
    lacks = able.lacks
    if exchange.dialect in able.forwards:
        if not lacks or unasked(exchange.parameters, lacks):
            return ()
        return tuple(need for need in of_exchange(exchange) if need.feature in lacks)
    if able.forwards and exchange.operation not in TRANSLATABLE:
        return ()
    done = translated(able)
    return tuple(need for need in needed(exchange) if need.feature not in done)


def unasked(parameters: Parameters, features: frozenset[str]) -> bool:
    """Whether none of the features is asked for, where parameters alone tell. Takes less than a microsecond."""
    for feature in features:
        if feature in BY_CONTENT or (feature in PLAIN and getattr(parameters, feature) != PLAIN[feature]):
            return False
    return True


def translated(able: Able) -> frozenset[str]:
    """What a target does of a request that is not passed on as it came."""
    features = NEUTRAL if able.features is None else able.features
    return (features if able.forwards else features | SAMPLING) - able.lacks


def droppable(need: Need) -> bool:
    """Whether there is a request without it."""
    return need.feature not in WHOLE


def without(exchange: Exchange, needs: Sequence[Need]) -> Exchange:
    """The exchange without some of its features, to be written from its neutral form."""
    gone = frozenset(need.feature for need in needs)
    return replace(
        exchange,
        dialect="",
        body=b"",
        parameters=parameters_without(exchange.parameters, gone),
        messages=tuple(kept for message in exchange.messages if (kept := message_without(message, gone))),
    )


def parameters_without(parameters: Parameters, gone: frozenset[str]) -> Parameters:
    defaults = Parameters()
    names = {need.param for need in of_parameters(parameters) if need.feature in gone}
    changes = {name: getattr(defaults, name) for name in names if name in Parameters.__struct_fields__}
    if parameters.constraint is not None and format_feature(parameters.constraint) in gone:
        changes["constraint"] = None
    if "logprobs" in gone:
        changes |= {"logprobs": False, "top_logprobs": None}
    if "tools" in gone:
        changes |= {"tools": (), "tool_choice": None, "allowed_tools": (), "parallel_tool_calls": None}
    return replace(parameters, **changes) if changes else parameters


def message_without(message: Message, gone: frozenset[str]) -> Message | None:
    """The message without some features; `None` where nothing is left of it."""
    if "tools" in gone:
        if message.role == "tool":
            return None
        if message.tool_calls:
            if not message.content:
                return None
            message = replace(message, tool_calls=None)
    if not isinstance(message.content, list):
        return message
    parts = [
        part for part in message.content if part.type == "text" or part_feature(part, message.role) not in gone
    ]
    if len(parts) == len(message.content):
        return message
    return replace(message, content=parts) if parts or message.tool_calls else None


def param_of(param: str, exchange: Exchange) -> str:
    """What the caller's dialect calls a field of the neutral form."""
    if (turns := TURNS.get(exchange.dialect)) is not None:
        return turns if param.startswith("messages[") else PARAMS[exchange.dialect].get(param, param)
    return "logprobs" if param == "top_logprobs" and exchange.operation == "complete" else param
