"""Requests in the OpenAI dialect: read into an `Exchange`, renamed on their way through, written from one.

Only what shapes a local answer is typed; what is not read stays in the body and travels as it came.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from penstock.errors import InvalidRequest, UnsupportedFeature
from penstock.exchange import Constraint, Exchange, Message, Parameters
from penstock.models.dialects.decoding import decode

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]


class StreamOptions(Struct):
    include_usage: bool | None = None


class JsonSchema(Struct):
    schema: Raw = msgspec.field(default_factory=Raw)


class ResponseFormat(Struct):
    """`type` "text", "json_object", "json_schema" or, for local models, "regex"."""

    type: str
    json_schema: JsonSchema | None = None
    regex: str | None = None


class ChatBody(Struct):
    messages: tuple[Message, ...]
    model: str = ""
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    temperature: AtLeastZero | None = None
    top_p: Share | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None


class CompletionBody(Struct):
    prompt: str | list[Any]
    model: str = ""
    max_tokens: Positive | None = None
    temperature: AtLeastZero | None = None
    top_p: Share | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


class EmbeddingBody(Struct):
    input: str | list[Any]
    model: str = ""
    encoding_format: str | None = None
    dimensions: Positive | None = None
    user: str | None = None


CHAT = msgspec.json.Decoder(ChatBody)
COMPLETION = msgspec.json.Decoder(CompletionBody)
EMBEDDING = msgspec.json.Decoder(EmbeddingBody)
FIELDS = msgspec.json.Decoder(dict[str, Raw])
ENCODER = msgspec.json.Encoder()

ANY_OBJECT = Constraint("json_schema", '{"type":"object"}')


def read_chat(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/chat/completions body says. Raises `InvalidRequest`."""
    said = decode(CHAT, body)
    if not said.messages:
        raise InvalidRequest("'messages' is empty.", hint="Send at least one message.", param="messages")
    return exchange.replace(
        operation="chat",
        dialect="openai",
        body=body,
        model=said.model,
        messages=said.messages,
        parameters=Parameters(
            max_tokens=said.max_completion_tokens or said.max_tokens,
            temperature=said.temperature,
            top_p=said.top_p,
            seed=said.seed,
            stop=stops(said.stop),
            logprobs=bool(said.logprobs),
            constraint=constraint(said.response_format),
        ),
        stream=bool(said.stream),
        wants_usage=bool(said.stream_options and said.stream_options.include_usage),
        user=said.user,
    )


def read_completion(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/completions body says. Raises `InvalidRequest`."""
    said = decode(COMPLETION, body)
    prompt = said.prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    return exchange.replace(
        operation="complete",
        dialect="openai",
        body=body,
        model=said.model,
        prompt=prompt if isinstance(prompt, str) else "",
        parameters=Parameters(
            max_tokens=said.max_tokens,
            temperature=said.temperature,
            top_p=said.top_p,
            seed=said.seed,
            stop=stops(said.stop),
            logprobs=said.logprobs is not None,
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
    return exchange.replace(
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


def constraint(format: ResponseFormat | None) -> Constraint | None:
    """What the answer must match. A format that is not known here is left to `features.needed`."""
    if format is None:
        return None
    if format.type == "json_object":
        return ANY_OBJECT
    if format.type == "json_schema":
        schema = bytes(format.json_schema.schema) if format.json_schema else b""
        if schema in (b"", b"null"):
            path = "response_format.json_schema.schema"
            raise InvalidRequest(f"{path!r} is missing.", hint="Send the JSON schema there.", param=path)
        return Constraint("json_schema", schema.decode())
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
    """How a vendor wants a request put. `limit` is its name for the longest answer."""

    limit: str = "max_tokens"
    include_usage: bool = True


def written(exchange: Exchange, model: str, wording: Wording) -> bytes:
    """The body of an exchange that the process made itself. Raises `UnsupportedFeature`."""
    fields: dict[str, Any] = {"model": model}
    if exchange.operation == "embed":
        return ENCODER.encode(fields | {"input": exchange.inputs, "encoding_format": "base64"})
    parameters = exchange.parameters
    if exchange.operation == "chat":
        fields["messages"] = exchange.messages
        limit = wording.limit
    else:
        fields["prompt"] = exchange.prompt
        limit = "max_tokens"
    if parameters.max_tokens is not None:
        fields[limit] = parameters.max_tokens
    for name in ("temperature", "top_p", "seed"):
        if (value := getattr(parameters, name)) is not None:
            fields[name] = value
    if parameters.stop:
        fields["stop"] = parameters.stop
    if parameters.logprobs:
        fields["logprobs"] = True
    if parameters.constraint is not None:
        fields["response_format"] = format_of(parameters.constraint)
    if exchange.stream:
        fields["stream"] = True
        if wording.include_usage:
            fields["stream_options"] = {"include_usage": True}
    return ENCODER.encode(fields)


def format_of(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "regex":
        raise UnsupportedFeature(
            "Remote models cannot be held to a regular expression.", hint="Use a JSON schema, or a local model."
        )
    schema = {"name": "answer", "schema": Raw(constraint.source.encode()), "strict": True}
    return {"type": "json_schema", "json_schema": schema}
