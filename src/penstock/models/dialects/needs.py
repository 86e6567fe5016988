"""What a request asks for beyond plain text, in words that all dialects share."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from penstock.errors import UnsupportedFeature
from penstock.exchange import Exchange, Message, Part


class Need(Struct, frozen=True):
    """A feature that a request uses, the path of the field that asks for it, and where it stands in the body."""

    feature: str
    param: str
    path: tuple[str | int, ...] = ()


SAMPLING = frozenset({"temperature", "top_p", "seed", "stop"})
"""What every local model does."""

ANY_OBJECT = '{"type":"object"}'
"""The schema that says no more than "JSON"."""

PARTS = {"image_url": "images", "input_audio": "audio", "file": "files"}

PARAMETERS: tuple[tuple[str, str], ...] = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("stop", "stop"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("tools", "tools"),
    ("reasoning_effort", "reasoning_effort"),
    ("reasoning_tokens", "reasoning_effort"),
)
"""Fields of `Parameters`, and the feature that any value but their default asks for."""


def of_exchange(exchange: Exchange) -> Iterator[Need]:
    """The features that the neutral form of an exchange uses."""
    parameters = exchange.parameters
    for name, feature in PARAMETERS:
        if getattr(parameters, name) not in (None, ()):
            yield Need(feature, name)
    if parameters.n > 1:
        yield Need("n", "n")
    if parameters.logprobs:
        yield Need("logprobs", "logprobs")
        if parameters.top_logprobs:
            yield Need("top_logprobs", "top_logprobs")
    constraint = parameters.constraint
    if constraint is not None:
        yield Need(format_feature(constraint.kind, constraint.source), "response_format")
    for at, message in enumerate(exchange.messages):
        yield from of_message(message, f"messages[{at}]")


def of_message(message: Message, path: str) -> Iterator[Need]:
    if message.role == "tool":
        yield Need("tools", f"{path}.role")
    elif message.tool_calls:
        yield Need("tools", f"{path}.tool_calls")
    if isinstance(message.content, list):
        for number, part in enumerate(message.content):
            if part.type != "text":
                yield Need(part_feature(part, message.role), f"{path}.content[{number}]")


def format_feature(kind: str, source: str = "") -> str:
    if kind == "regex":
        return "regex"
    return "json_object" if source == ANY_OBJECT else "response_format"


def part_feature(part: Part, role: str) -> str:
    feature = PARTS.get(part.type)
    if feature is None:
        return f"{part.type!r} parts"
    if role == "tool":
        return f"{feature} in tool results"
    if part.file is not None and part.file.file_url is not None:
        return "files by address"
    return feature


def require(exchange: Exchange, able: frozenset[str], who: str) -> None:
    """Raises `UnsupportedFeature` that names the first feature not in `able`; `who` is what cannot do it."""
    for need in of_exchange(exchange):
        if need.feature not in able:
            raise unsupported(who, need)


def unsupported(who: str, need: Need) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"{who} does not support {need.feature}, which {need.param!r} asks for.",
        hint="Leave it out, or name a model that supports it.",
        param=need.param,
    )
