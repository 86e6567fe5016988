"""What a request asks for beyond plain text, in words that all dialects share."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from penstock.errors import InvalidRequest, UnsupportedFeature
from penstock.exchange import Constraint, Exchange, Message, Parameters, Part


class Need(Struct, frozen=True):
    """A feature that a request uses, the path of the field that asks for it, and where it stands in the body."""

    feature: str
    param: str
    path: tuple[str | int, ...] = ()


SAMPLING = frozenset({"temperature", "top_p", "seed", "stop"})
"""What every local model does."""

NEUTRAL = SAMPLING | frozenset(
    {
        "audio",
        "ebnf",
        "files",
        "files by address",
        "files in tool results",
        "frequency_penalty",
        "images",
        "images in tool results",
        "json_object",
        "logprobs",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "regex",
        "response_format",
        "tools",
        "top_k",
        "top_logprobs",
    }
)
"""Everything that an `Exchange` can ask for; what else a body asks for is lost when it is translated."""

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
"""Fields of `Parameters`, and the feature that they ask for."""

NOTHING = (None, (), "none")
ZERO_IS_NOTHING = frozenset({"frequency_penalty", "presence_penalty"})


def of_exchange(exchange: Exchange) -> Iterator[Need]:
    """The features that the neutral form of an exchange uses."""
    if exchange.parameters != DEFAULTS:
        yield from of_parameters(exchange.parameters)
    for at, message in enumerate(exchange.messages):
        if message.role == "tool" or message.tool_calls or isinstance(message.content, list):
            yield from of_message(message, f"messages[{at}]")


DEFAULTS = Parameters()


def of_parameters(parameters: Parameters) -> Iterator[Need]:
    for name, feature in PARAMETERS:
        value = getattr(parameters, name)
        if value not in NOTHING and not (value == 0 and name in ZERO_IS_NOTHING):
            yield Need(feature, name)
    if not parameters.tools and parameters.tool_choice not in (None, "auto", "none"):
        yield Need("tools", "tool_choice")
    if parameters.n > 1:
        yield Need("n", "n")
    if parameters.logprobs:
        yield Need("logprobs", "logprobs")
    if parameters.top_logprobs:
        yield Need("top_logprobs", "top_logprobs")
    if parameters.constraint is not None:
        yield Need(format_feature(parameters.constraint), "response_format")


def of_message(message: Message, path: str) -> Iterator[Need]:
    if message.role == "tool":
        yield Need("tools", f"{path}.role")
    elif message.tool_calls:
        yield Need("tools", f"{path}.tool_calls")
    if isinstance(message.content, list):
        for number, part in enumerate(message.content):
            if part.type != "text":
                yield Need(part_feature(part, message.role), f"{path}.content[{number}].{part.type}")


def format_feature(constraint: Constraint) -> str:
    if constraint.kind != "json_schema":
        return constraint.kind
    return "json_object" if constraint.source == ANY_OBJECT else "response_format"


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


def uncounted(name: str) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"{name!r} cannot count tokens without answering.",
        hint="The usage of an answer says how many its request had.",
        param="model",
    )


def check_role(role: str, known: tuple[str, ...], path: str) -> None:
    """Raises `InvalidRequest` for a role that would else be taken for the user's."""
    if role not in known:
        raise InvalidRequest(
            f"The role {role[:40]!r} is not known.", hint=f"Use one of {', '.join(known)}.", param=f"{path}.role"
        )


def unsupported(who: str, need: Need) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"{who} does not support {need.feature}, which {need.param!r} asks for.",
        hint="Leave it out, or name a model that supports it.",
        param=need.param,
    )
