"""Requests in the OpenAI dialect: read into an `Exchange`, renamed on their way through, written from one.

What is not read stays in the body and travels as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from penstock.errors import InvalidRequest
from penstock.exchange import Constraint, Exchange, Parameters, Tool
from penstock.models.dialects.decoding import decode, text_of
from penstock.models.dialects.openai.bodies import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    ResponseFormat,
    ToolBody,
    ToolChoice,
)
from penstock.models.dialects.openai.writing import ANY_OBJECT, FORCED, chat_fields, completion_fields

CHAT = msgspec.json.Decoder(ChatBody)
COMPLETION = msgspec.json.Decoder(CompletionBody)
EMBEDDING = msgspec.json.Decoder(EmbeddingBody)
FIELDS = msgspec.json.Decoder(dict[str, Raw])
ENCODER = msgspec.json.Encoder()
NO_FIELDS: Mapping[str, str] = MappingProxyType({})


def read_chat(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/chat/completions body says. Raises `InvalidRequest`."""
    said = decode(CHAT, body)
    if not said.messages:
        raise InvalidRequest("'messages' is empty.", hint="Send at least one message.", param="messages")
    return replace(
        exchange,
        operation="chat",
        dialect="openai",
        body=body,
        model=said.model,
        messages=said.messages,
        parameters=chat_parameters(said),
        stream=bool(said.stream),
        wants_usage=bool(said.stream_options and said.stream_options.include_usage),
        user=said.user,
    )


def chat_parameters(said: ChatBody) -> Parameters:
    """Raises `InvalidRequest`."""
    choice, allowed = (None, ()) if said.tool_choice is None else tool_choice(said.tool_choice)
    thinking = said.thinking
    return Parameters(
        max_tokens=said.max_completion_tokens or said.max_tokens,
        temperature=said.temperature,
        top_p=said.top_p,
        top_k=said.top_k,
        seed=said.seed,
        stop=stops(said.stop),
        n=said.n or 1,
        logprobs=bool(said.logprobs),
        top_logprobs=said.top_logprobs,
        frequency_penalty=said.frequency_penalty,
        presence_penalty=said.presence_penalty,
        constraint=None if said.response_format is None else constraint(said.response_format),
        tools=tools(said.tools) if said.tools else (),
        tool_choice=choice,
        allowed_tools=allowed,
        parallel_tool_calls=said.parallel_tool_calls,
        reasoning_effort="none" if thinking and thinking.type == "disabled" else said.reasoning_effort,
        reasoning_tokens=thinking.budget_tokens if thinking else None,
    )


def read_completion(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/completions body says. Raises `InvalidRequest`."""
    said = decode(COMPLETION, body)
    prompt = said.prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    return replace(
        exchange,
        operation="complete",
        dialect="openai",
        body=body,
        model=said.model,
        prompt=prompt if isinstance(prompt, str) else "",
        parameters=Parameters(
            max_tokens=said.max_tokens,
            temperature=said.temperature,
            top_p=said.top_p,
            top_k=said.top_k,
            seed=said.seed,
            stop=stops(said.stop),
            n=said.n or 1,
            logprobs=said.logprobs is not None,
            top_logprobs=said.logprobs,
            frequency_penalty=said.frequency_penalty,
            presence_penalty=said.presence_penalty,
        ),
        stream=bool(said.stream),
        wants_usage=bool(said.stream_options and said.stream_options.include_usage),
        user=said.user,
    )


def read_embedding(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/embeddings body says. Raises `InvalidRequest`."""
    said = decode(EMBEDDING, body)
    texts = [said.input] if isinstance(said.input, str) else said.input
    if not texts:
        raise InvalidRequest("'input' is empty.", hint="Send a string or a list of strings.", param="input")
    for index, text in enumerate(texts):
        if not isinstance(text, (str, int, list)) or isinstance(text, bool):
            raise InvalidRequest(f"'input[{index}]' must be a string.", param=f"input[{index}]")
    if said.encoding_format not in (None, "float", "base64"):
        raise InvalidRequest(
            f"'encoding_format' must be 'float' or 'base64', not {said.encoding_format!r}.", param="encoding_format"
        )
    return replace(
        exchange,
        operation="embed",
        dialect="openai",
        body=body,
        model=said.model,
        inputs=tuple(text for text in texts if isinstance(text, str)),
        user=said.user,
        options=exchange.options
        | {"encoding_format": said.encoding_format or "float", "dimensions": said.dimensions},
    )


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def tools(bodies: list[ToolBody]) -> tuple[Tool, ...]:
    """The functions among the tools; `features.needed` names what else there is."""
    return tuple(
        Tool(
            name=function.name,
            description=function.description,
            parameters=text_of(function.parameters) or "{}",
            strict=function.strict,
            cache_control=each.cache_control,
        )
        for each in bodies
        if (function := each.function) is not None
    )


def tool_choice(choice: str | ToolChoice) -> tuple[str | None, tuple[str, ...]]:
    """`Parameters.tool_choice` and `allowed_tools`. Raises `InvalidRequest`."""
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required"):
            raise InvalidRequest(
                f"'tool_choice' must be 'auto', 'none', 'required' or an object, not {choice!r}.",
                hint='To name a function, send {"type": "function", "function": {"name": "…"}}.',
                param="tool_choice",
            )
        return choice, ()
    if choice.type == "function" and choice.function is not None:
        return FORCED + choice.function.name, ()
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        return choice.allowed_tools.mode, tuple(
            each.function.name for each in choice.allowed_tools.tools if each.function
        )
    return None, ()


def constraint(format: ResponseFormat) -> Constraint | None:
    """What the answer must match. A format that is not known here is left to `features.needed`."""
    if format.type == "json_object":
        return ANY_OBJECT
    if format.type == "json_schema":
        said = format.json_schema
        schema = text_of(said.schema) if said else ""
        if said is None or schema in ("", "null"):
            path = "response_format.json_schema.schema"
            raise InvalidRequest(f"{path!r} is missing.", hint="Send the JSON schema there.", param=path)
        return Constraint("json_schema", schema, said.name, said.description, said.strict)
    if format.type == "regex":
        if format.regex is None:
            path = "response_format.regex"
            raise InvalidRequest(f"{path!r} is missing.", hint="Send the expression there.", param=path)
        return Constraint("regex", format.regex)
    return None


def renamed(body: bytes, model: str, *, include_usage: bool) -> bytes:
    """The body as it came with another model, and with usage asked for at the end of its stream.

    Every other field keeps its bytes.
    """
    fields = decode(FIELDS, body)
    fields["model"] = Raw(ENCODER.encode(model))
    if include_usage:
        given = fields.get("stream_options")
        options = decode(FIELDS, bytes(given)) if given is not None and bytes(given) != b"null" else {}
        options["include_usage"] = Raw(b"true")
        fields["stream_options"] = Raw(ENCODER.encode(options))
    return ENCODER.encode(fields)


class Wording(Struct, frozen=True, kw_only=True):
    """How a vendor wants a request put.

    `limit` is its name for the longest answer. `reasoning` says whether it wants what its model thought back with
    the conversation (`reasoning_content`). `dimensions` is its name for the length of vectors, `query` and
    `passage` are the fields that tell it what texts to embed are for.
    """

    limit: str = "max_tokens"
    include_usage: bool = True
    reasoning: bool = False
    dimensions: str = "dimensions"
    query: Mapping[str, str] = NO_FIELDS
    passage: Mapping[str, str] = NO_FIELDS


def written(exchange: Exchange, model: str, wording: Wording) -> bytes:
    """The body of an exchange that came in another dialect, or that the process made itself.

    Raises `UnsupportedFeature` for what this dialect cannot say.
    """
    fields: dict[str, Any] = {"model": model}
    if exchange.operation == "embed":
        fields |= {"input": exchange.inputs, "encoding_format": "base64"}
        if (dimensions := exchange.options.get("dimensions")) is not None:
            fields[wording.dimensions] = dimensions
        if kind := exchange.options.get("kind"):
            fields |= wording.query if kind == "query" else wording.passage
        return ENCODER.encode(fields)
    if exchange.operation == "chat":
        fields |= chat_fields(exchange, wording.limit, reasoning=wording.reasoning)
    else:
        fields |= completion_fields(exchange)
    if exchange.user is not None:
        fields["user"] = exchange.user
    if exchange.stream:
        fields["stream"] = True
        if wording.include_usage:
            fields["stream_options"] = {"include_usage": True}
    return ENCODER.encode(fields)
