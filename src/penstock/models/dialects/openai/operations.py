"""Operations of the OpenAI dialect beside text: moderation, images, speech, transcription; and reranking, in the
shape that Cohere and Jina share.

A body travels as it came with only the model's name changed, JSON and forms alike, and so does its answer. What is
typed here is what is checked, shown in traces, or needed to answer on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from penstock.errors import InvalidRequest
from penstock.exchange import Exchange, Operation
from penstock.models.dialects.base import Outgoing, unsupported
from penstock.models.dialects.decoding import decode, explain
from penstock.models.dialects.openai.multipart import FORM_TYPE, Field, fields_of, with_value
from penstock.models.dialects.openai.requests import ENCODER, renamed

PATHS: dict[Operation, str] = {
    "rerank": "/rerank",
    "moderate": "/moderations",
    "image": "/images/generations",
    "edit_image": "/images/edits",
    "vary_image": "/images/variations",
    "speech": "/audio/speech",
    "transcribe": "/audio/transcriptions",
    "translate": "/audio/translations",
}

FIELDS = "form"
"""Where an exchange's `options` keep the fields of a form."""

File = Annotated[str, Meta(extra_json_schema={"contentMediaType": "application/octet-stream"})]
"""A file in a form. Its bytes stay in the body; what is read is its name."""

Positive = Annotated[int, Meta(ge=1)]


class ModerationBody(Struct):
    """`input` is a text, several, or parts of texts and images."""

    input: str | list[Any]
    model: str = ""


class ImageBody(Struct):
    prompt: str
    model: str = ""
    n: Positive | None = None
    stream: bool | None = None
    user: str | None = None


class SpeechBody(Struct):
    """`stream_format` "sse" gives events; anything else the sound itself."""

    input: str
    voice: str | dict[str, Any]
    model: str = ""
    instructions: str | None = None
    response_format: str | None = None
    speed: float | None = None
    stream_format: str | None = None


class RerankBody(Struct):
    """`documents` are texts, or objects whose `text` is ranked. `return_documents` repeats them in the answer."""

    query: str | dict[str, Any]
    documents: list[str | dict[str, Any]]
    model: str = ""
    top_n: Positive | None = None
    return_documents: bool | None = None
    user: str | None = None


class Form(Struct, kw_only=True):
    model: str = ""
    prompt: str | None = None
    stream: bool | None = None
    user: str | None = None


class ImageEditForm(Form, kw_only=True):
    """`image` may also be several files, each in a field `image[]`."""

    image: File
    prompt: str
    mask: File | None = None
    n: Positive | None = None


class ImageVariationForm(Form, kw_only=True):
    image: File
    n: Positive | None = None


class TranscriptionForm(Form, kw_only=True):
    """`response_format` "json", "text", "srt", "verbose_json", "vtt" or another one that the model knows."""

    file: File
    language: str | None = None
    response_format: str | None = None
    temperature: float | None = None


class TranslationForm(Form, kw_only=True):
    """`response_format` as for transcriptions."""

    file: File
    response_format: str | None = None
    temperature: float | None = None


MODERATION = msgspec.json.Decoder(ModerationBody)
IMAGE = msgspec.json.Decoder(ImageBody)
SPEECH = msgspec.json.Decoder(SpeechBody)
RERANK = msgspec.json.Decoder(RerankBody)


def read_moderation(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/moderations body says. Raises `InvalidRequest`."""
    said = decode(MODERATION, body)
    given = [said.input] if isinstance(said.input, str) else said.input
    inputs = tuple(text_of(each) for each in given)
    return exchange.replace(operation="moderate", dialect="openai", body=body, model=said.model, inputs=inputs)


def read_image(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/images/generations body says. Raises `InvalidRequest`."""
    said = decode(IMAGE, body)
    return exchange.replace(
        operation="image",
        dialect="openai",
        body=body,
        model=said.model,
        prompt=said.prompt,
        stream=bool(said.stream),
        user=said.user,
    )


def read_speech(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/audio/speech body says; its answer is streamed. Raises `InvalidRequest`."""
    said = decode(SPEECH, body)
    return exchange.replace(
        operation="speech", dialect="openai", body=body, model=said.model, prompt=said.input, stream=True
    )


def read_rerank(body: bytes, exchange: Exchange) -> Exchange:
    """The exchange with what a /v1/rerank body says. Raises `InvalidRequest`."""
    said = decode(RERANK, body)
    if not said.documents:
        raise InvalidRequest("'documents' is empty.", hint="Send at least one text.", param="documents")
    return exchange.replace(
        operation="rerank",
        dialect="openai",
        body=body,
        model=said.model,
        prompt=text_of(said.query),
        inputs=tuple(text_of(each) for each in said.documents),
        user=said.user,
        options=exchange.options | {"top_n": said.top_n, "return_documents": bool(said.return_documents)},
    )


def text_of(value: Any) -> str:
    """The text of an input that may be an object; "" for one that is something else, such as an image."""
    if isinstance(value, dict):
        value = value.get("text")
    return value if isinstance(value, str) else ""


def form_reader(operation: Operation, kind: type[Form]) -> Callable[[bytes, Exchange], Exchange]:
    """What reads a form of `kind` into an exchange; the exchange knows the form's media type."""

    def read(body: bytes, exchange: Exchange) -> Exchange:
        fields = fields_of(body, exchange.media_type)
        said = read_form(body, fields, kind)
        return exchange.replace(
            operation=operation,
            dialect="openai",
            body=body,
            model=said.model,
            prompt=said.prompt or "",
            stream=bool(said.stream),
            user=said.user,
            options=exchange.options | {FIELDS: fields},
        )

    return read


def read_form(body: bytes, fields: Sequence[Field], kind: type[Form]) -> Form:
    """The fields of a form that are known. Raises `InvalidRequest`."""
    known = kind.__struct_fields__
    values: dict[str, str] = {}
    for field in fields:
        name = "image" if field.name == "image[]" else field.name
        if name not in known:
            continue
        if name in values and field.filename is None:
            raise InvalidRequest(f"{name!r} is given twice.", hint="Send it once.", param=name)
        values[name] = field.filename if field.filename is not None else shown(body[field.start : field.end], name)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise explain(error) from None


def shown(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name!r} is not UTF-8.", param=name) from None


def outgoing(exchange: Exchange, model: str, path: str) -> Outgoing:
    """The request as it came with another model. Raises `UnsupportedFeature` for one that the process made itself.

    Only a reranking can be asked for from within.
    """
    if exchange.dialect != "openai":
        if exchange.operation != "rerank":
            raise unsupported(model, f"{exchange.operation!r}")
        return Outgoing(path, written_rerank(exchange, model))
    media_type = exchange.media_type
    if not media_type.lower().startswith(FORM_TYPE):
        return Outgoing(path, renamed(exchange.body, model, include_usage=False))
    body = with_value(exchange.body, exchange.options[FIELDS], "model", model.encode())
    return Outgoing(path, body, (("Content-Type", media_type),))


def written_rerank(exchange: Exchange, model: str) -> bytes:
    """The body of a reranking that the process asks for itself."""
    fields: dict[str, Any] = {"model": model, "query": exchange.prompt, "documents": exchange.inputs}
    if (top := exchange.options.get("top_n")) is not None:
        fields["top_n"] = top
    return ENCODER.encode(fields)
