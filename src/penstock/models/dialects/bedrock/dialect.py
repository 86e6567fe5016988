"""The dialect of Bedrock's Converse as a provider speaks it: everything is written and read across."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from penstock.errors import FailureKind
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.base import Failure, Outgoing, Reading, StreamFailed, unsupported
from penstock.models.dialects.bedrock.embedding import read_embed, written_embed
from penstock.models.dialects.bedrock.frames import FrameBroken, FrameReader
from penstock.models.dialects.bedrock.requests import ENCODER, written
from penstock.models.dialects.bedrock.upstream import ANSWER, EVENT, Reader, chunk_of
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.failures import kind_of

STREAM = "application/vnd.amazon.eventstream"
KINDS: dict[str, FailureKind] = {
    "internalServerException": "server_error",
    "modelStreamErrorException": "server_error",
    "validationException": "bad_request",
    "throttlingException": "rate_limit",
    "serviceUnavailableException": "overloaded",
    "modelTimeoutException": "timeout",
}
"""Exceptions inside a stream, by their type."""
STATUSES: dict[int, FailureKind] = {403: "auth", 408: "timeout", 424: "server_error", 429: "rate_limit"}


class ErrorBody(Struct):
    """AWS writes `message` or `Message`, depending on which of its parts refused."""

    message: str = ""
    upper: str = msgspec.field(default="", name="Message")


class CountBody(Struct, rename="camel"):
    input_tokens: int


ERROR = msgspec.json.Decoder(ErrorBody)
COUNT = msgspec.json.Decoder(CountBody)
FIELDS = msgspec.json.Decoder(dict[str, Raw])
COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")


class BedrockDialect:
    """One model of Bedrock, by its id, inference profile or ARN (`dialects.base.Dialect`)."""

    name = "bedrock"

    def __init__(self, model: str) -> None:
        self._model = model
        self._path = f"/model/{quote(model, safe='')}"

    def request(self, exchange: Exchange) -> Outgoing:
        if exchange.operation == "embed":
            return Outgoing(f"{self._path}/invoke", written_embed(exchange, self._model))
        if exchange.operation not in ("chat", "complete"):
            raise unsupported(self._model, repr(exchange.operation))
        method = "converse-stream" if exchange.stream else "converse"
        return Outgoing(f"{self._path}/{method}", written(exchange, self._model))

    def counting(self, exchange: Exchange) -> Outgoing:
        fields = FIELDS.decode(written(exchange, self._model))
        asked = {name: fields[name] for name in COUNTED if name in fields}
        return Outgoing(f"{self._path}/count-tokens", ENCODER.encode({"input": {"converse": asked}}))

    def count(self, data: bytes) -> int | None:
        wire = understood(COUNT, data)
        return wire.input_tokens if wire else None

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        return BedrockReading() if content_type == STREAM else None

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        if exchange.operation == "embed":
            return read_embed(data)
        wire = understood(ANSWER, data)
        return chunk_of(wire) if wire else None

    def failure(self, status: int, data: bytes) -> Failure:
        message = message_of(data)
        kind = kind_of(status, message)
        return Failure(kind=STATUSES.get(status, kind), message=message)


class BedrockReading:
    """A stream of frames; `messageStop` says why the model stopped, and `metadata` with the usage is the last."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._reader = Reader()

    @property
    def complete(self) -> bool:
        return self._reader.finished and not self._frames.pending

    @property
    def ended(self) -> bool:
        return self._reader.ended

    def feed(self, received: bytes) -> Iterator[Chunk]:
        try:
            for frame in self._frames.feed(received):
                kind = frame.headers.get(":event-type", "")
                if frame.headers.get(":message-type") != "event":
                    raise StreamFailed(frame.payload, failure_in_stream(frame.headers, frame.payload))
                wire = understood(EVENT, frame.payload)
                if wire is None:
                    raise StreamFailed(frame.payload, Failure(kind="broken_stream", message=f"a bad {kind} event"))
                chunk = self._reader.chunk(kind, wire)
                if chunk is not None:
                    yield chunk
        except FrameBroken as error:
            raise StreamFailed(b"", Failure(kind="broken_stream", message=str(error))) from None


def failure_in_stream(headers: Mapping[str, str], payload: bytes) -> Failure:
    word = headers.get(":exception-type") or headers.get(":error-code") or ""
    message = message_of(payload) or headers.get(":error-message", "") or word
    kind = KINDS.get(word[:1].lower() + word[1:], "server_error")
    if kind == "bad_request":
        kind = kind_of(400, message)
    return Failure(kind=kind, message=message)


def message_of(data: bytes) -> str:
    wire = understood(ERROR, data)
    return wire.message or wire.upper if wire else ""
