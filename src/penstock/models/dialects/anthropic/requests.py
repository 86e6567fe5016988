"""Requests in the Anthropic dialect: read into an `Exchange`, renamed on their way through, written from one.

What is not read stays in the body and travels as it came.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from penstock.errors import InvalidRequest
from penstock.exchange import Constraint, Exchange, Parameters, Tool
from penstock.models.dialects.anthropic.bodies import Format, MessagesBody, ToolBody
from penstock.models.dialects.anthropic.turns import read_turns
from penstock.models.dialects.anthropic.writing import FEATURES, Wording, fields_of
from penstock.models.dialects.decoding import decode, text_of
from penstock.models.dialects.needs import require

NAME = "anthropic"
MESSAGES = msgspec.json.Decoder(MessagesBody)
FIELDS = msgspec.json.Decoder(dict[str, Raw])
ENCODER = msgspec.json.Encoder()
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
UNCOUNTED = frozenset({"max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_k", "top_p"})
"""Fields of a message that the count of its tokens does not take."""


def read_messages(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/messages body says. Raises `InvalidRequest`."""
    said = decode(MESSAGES, body)
    if said.max_tokens is None:
        raise InvalidRequest("'max_tokens' is missing.", hint="Add it to the request.", param="max_tokens")
    return filled(said, body, exchange)


def read_count(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/messages/count_tokens body says. Raises `InvalidRequest`."""
    return filled(decode(MESSAGES, body), body, exchange)


def filled(said: MessagesBody, body: bytes, exchange: Exchange) -> Exchange:
    if not said.messages:
        raise InvalidRequest("'messages' is empty.", hint="Send at least one message.", param="messages")
    return replace(
        exchange,
        operation="chat",
        dialect=NAME,
        body=body,
        model=said.model,
        messages=read_turns(said.system, said.messages),
        parameters=parameters_of(said),
        stream=bool(said.stream),
        wants_usage=True,
        user=said.metadata.user_id if said.metadata else None,
    )


def parameters_of(said: MessagesBody) -> Parameters:
    choice = said.tool_choice
    effort, constraint, tokens = None, None, None
    if said.output_config is not None:
        effort = said.output_config.effort
        constraint = constraint_of(said.output_config.format)
    if said.thinking is not None:
        tokens = said.thinking.budget_tokens
        if said.thinking.type == "disabled":
            effort = "none"
    return Parameters(
        max_tokens=said.max_tokens,
        temperature=said.temperature,
        top_p=said.top_p,
        top_k=said.top_k,
        stop=tuple(said.stop_sequences or ()),
        constraint=constraint,
        tools=tools(said.tools) if said.tools else (),
        tool_choice=None if choice is None else CHOICES.get(choice.type, f"tool:{choice.name}"),
        parallel_tool_calls=parallel(choice.disable_parallel_tool_use) if choice else None,
        reasoning_effort=effort,
        reasoning_tokens=tokens,
    )


def parallel(disabled: bool | None) -> bool | None:
    return None if disabled is None else not disabled


def tools(bodies: list[ToolBody]) -> tuple[Tool, ...]:
    """The caller's own tools; `features.needed` names what else there is."""
    return tuple(
        Tool(
            name=each.name,
            description=each.description,
            parameters=text_of(each.input_schema) or "{}",
            strict=each.strict,
            cache_control=each.cache_control,
        )
        for each in bodies
        if each.type in (None, "custom")
    )


def constraint_of(format: Format | None) -> Constraint | None:
    """What the answer must match. Raises `InvalidRequest`."""
    if format is None or format.type != "json_schema":
        return None
    schema = text_of(format.schema)
    if schema in ("", "null"):
        path = "output_config.format.schema"
        raise InvalidRequest(f"{path!r} is missing.", hint="Send the JSON schema there.", param=path)
    return Constraint("json_schema", schema)


def renamed(body: bytes, model: str) -> bytes:
    """The body as it came with another model. Every other field keeps its bytes."""
    fields = decode(FIELDS, body)
    fields["model"] = Raw(ENCODER.encode(model))
    return ENCODER.encode(fields)


def written(exchange: Exchange, model: str, wording: Wording) -> bytes:
    """The body of an exchange that came in another dialect, or that the process made itself.

    Raises `UnsupportedFeature` for what this dialect cannot say, `InvalidRequest` for a tool's arguments that are
    no JSON object.
    """
    require(exchange, FEATURES, "The Anthropic API")
    fields = {"model": model} | fields_of(exchange, wording)
    if exchange.stream:
        fields["stream"] = True
    return ENCODER.encode(fields)


def counted(exchange: Exchange, model: str, wording: Wording) -> bytes:
    """The body that asks how many tokens an exchange has, whichever dialect it came in."""
    body = exchange.body if exchange.dialect == NAME else written(exchange, model, wording)
    fields = decode(FIELDS, body)
    fields["model"] = Raw(ENCODER.encode(model))
    return ENCODER.encode({name: value for name, value in fields.items() if name not in UNCOUNTED})
