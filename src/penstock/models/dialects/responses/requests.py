"""Requests to /v1/responses: read into an `Exchange`, and renamed on their way to a provider of this API."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from penstock.errors import InvalidRequest, UnsupportedFeature
from penstock.exchange import Constraint, Exchange, Message, Parameters, Tool
from penstock.models.dialects.decoding import decode, explain
from penstock.models.dialects.needs import ANY_OBJECT, Need
from penstock.models.dialects.responses.bodies import ResponseBody, TextFormat, ToolBody, ToolChoice
from penstock.models.dialects.responses.features import unsaid
from penstock.models.dialects.responses.items import SEALED, Item, items_of, messages_of

NAME = "responses"
OPTION = "responses"
"""Where an exchange's `options` keep what was `Asked`."""

ANY_FIELDS = msgspec.json.Decoder(dict[str, Any])
FIELDS = msgspec.json.Decoder(dict[str, Raw])
ENCODER = msgspec.json.Encoder()
WORDS = ("auto", "none", "required")


class Past(Struct, frozen=True):
    """The conversation that a request goes on with, oldest item first. `provider` answered last, by this API."""

    items: tuple[Item, ...] = ()
    provider: str = ""


class Asked(Struct, frozen=True, kw_only=True):
    """What only this API asks. `fields` are the body's, decoded; `items` its input; `unsaid` what no other API has.

    `created` is in seconds since 1970. `previous` is the id of the response to go on with, `past` what it and those
    before it said, once that was looked up.
    """

    fields: dict[str, Any]
    items: tuple[Item, ...]
    unsaid: tuple[Need, ...]
    created: int
    store: bool
    previous: str | None = None
    past: Past = Past()


def asked(exchange: Exchange) -> Asked:
    found: Asked = exchange.options[OPTION]
    return found


def read_response(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/responses body says. Raises `InvalidRequest`."""
    fields = decode(ANY_FIELDS, body)
    try:
        said = msgspec.convert(fields, ResponseBody)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    check(said, fields)
    items = items_of(said.input or ())
    instructions = [Message("system", said.instructions)] if said.instructions else []
    what = Asked(
        fields=fields,
        items=items,
        unsaid=tuple(unsaid(fields, items)),
        created=int(time.time()),
        store=said.store is not False,
        previous=said.previous_response_id,
    )
    return replace(
        exchange,
        operation="chat",
        dialect=NAME,
        body=body,
        model=said.model,
        messages=(*instructions, *messages_of(items)),
        parameters=parameters_of(said),
        stream=bool(said.stream),
        wants_usage=True,
        user=said.user,
        options=exchange.options | {OPTION: what},
    )


def check(said: ResponseBody, fields: dict[str, Any]) -> None:
    """Raises `InvalidRequest` for what no target could answer."""
    if not said.input and "prompt" not in fields:
        raise InvalidRequest(
            f"'input' is {'missing' if said.input is None else 'empty'}.",
            hint="Send a text, or a list of items.",
            param="input",
        )
    if said.background:
        raise UnsupportedFeature(
            "Responses in the background are not offered.",
            hint="Leave 'background' out, and stream the answer or wait for it.",
            param="background",
        )
    if fields.get("conversation") is not None:
        raise UnsupportedFeature(
            "Conversations that the provider keeps are not offered.",
            hint="Use 'previous_response_id' instead of 'conversation'.",
            param="conversation",
        )


def with_past(exchange: Exchange, past: Past) -> Exchange:
    """The exchange with the conversation before it. Instructions are not carried over from one to the next."""
    what = asked(exchange)
    first = exchange.messages[: len(exchange.messages) - len(messages_of(what.items))]
    messages = messages_of((*past.items, *what.items))
    options = exchange.options | {OPTION: replace(what, past=past)}
    return replace(exchange, messages=(*first, *messages), options=options)


def unkept(exchange: Exchange) -> Exchange:
    """The exchange of a response that nobody keeps here."""
    return replace(exchange, options=exchange.options | {OPTION: replace(asked(exchange), store=False)})


def parameters_of(said: ResponseBody) -> Parameters:
    """Raises `InvalidRequest`."""
    choice, allowed = tool_choice(said.tool_choice)
    included = said.include or ()
    return Parameters(
        max_tokens=said.max_output_tokens,
        temperature=said.temperature,
        top_p=said.top_p,
        logprobs="message.output_text.logprobs" in included,
        top_logprobs=said.top_logprobs,
        constraint=constraint(said.text.format if said.text else None),
        tools=tuple(tool_of(each, place) for place, each in enumerate(said.tools or ()) if each.type == "function"),
        tool_choice=choice,
        allowed_tools=allowed,
        parallel_tool_calls=said.parallel_tool_calls,
        reasoning_effort=said.reasoning.effort if said.reasoning else None,
    )


def tool_of(tool: ToolBody, place: int) -> Tool:
    if not tool.name:
        path = f"tools[{place}].name"
        raise InvalidRequest(f"{path!r} is missing.", hint="Add it to the request.", param=path)
    parameters = "{}" if tool.parameters is None else ENCODER.encode(tool.parameters).decode()
    return Tool(name=tool.name, description=tool.description, parameters=parameters, strict=tool.strict)


def tool_choice(choice: str | ToolChoice | None) -> tuple[str | None, tuple[str, ...]]:
    """`Parameters.tool_choice` and `allowed_tools`. Raises `InvalidRequest`."""
    if choice is None or isinstance(choice, str):
        if choice is not None and choice not in WORDS:
            raise InvalidRequest(
                f"'tool_choice' must be 'auto', 'none', 'required' or an object, not {choice!r}.",
                hint='To name a function, send {"type": "function", "name": "…"}.',
                param="tool_choice",
            )
        return choice, ()
    if choice.type == "function":
        if not choice.name:
            path = "tool_choice.name"
            raise InvalidRequest(f"{path!r} is missing.", hint="Add it to the request.", param=path)
        return f"tool:{choice.name}", ()
    if choice.type == "allowed_tools":
        return choice.mode or "auto", tuple(each.name for each in choice.tools or () if each.name)
    return None, ()


def constraint(format: TextFormat | None) -> Constraint | None:
    """What the answer must match. Raises `InvalidRequest`."""
    if format is None or format.type not in ("json_object", "json_schema"):
        return None
    if format.type == "json_object":
        return Constraint("json_schema", ANY_OBJECT)
    if format.schema is None:
        path = "text.format.schema"
        raise InvalidRequest(f"{path!r} is missing.", hint="Send the JSON schema there.", param=path)
    source = ENCODER.encode(format.schema).decode()
    return Constraint("json_schema", source, format.name, format.description, format.strict)


def renamed(exchange: Exchange, model: str, provider: str) -> bytes:
    """The body as it came with another model.

    Where the conversation so far was not answered by this provider, or it has forgotten it, it is sent along: items
    without their ids, which mean nothing there.
    """
    what = asked(exchange)
    fields = decode(FIELDS, exchange.body)
    fields["model"] = Raw(ENCODER.encode(model))
    if what.previous is not None and what.past.provider != provider:
        del fields["previous_response_id"]
        past = [portable(item) for item in what.past.items if is_portable(item)]
        fields["input"] = Raw(ENCODER.encode([*past, *what.items]))
    return ENCODER.encode(fields)


def is_portable(item: Item) -> bool:
    """Reasoning only as its provider sealed it: its id means nothing elsewhere."""
    if item.get("type") != "reasoning":
        return True
    own = item.get("encrypted_content")
    return isinstance(own, str) and not own.startswith(SEALED)


def portable(item: Item) -> Item:
    return {name: value for name, value in item.items() if name not in ("id", "status")}
