"""The Gemini dialect as a provider speaks it: no caller does, so everything is written and read across."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from penstock.errors import FailureKind
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.base import Failure, Outgoing, Reading, StreamFailed, unsupported
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.failures import kind_of
from penstock.models.dialects.gemini.requests import ENCODER, OBJECT, written, written_embed
from penstock.models.dialects.gemini.upstream import ANSWER, EMBEDDINGS, Reader, vectors_of
from penstock.models.dialects.openai.upstream import EventReader

KINDS: dict[str, FailureKind] = {
    "DEADLINE_EXCEEDED": "timeout",
    "INTERNAL": "server_error",
    "PERMISSION_DENIED": "auth",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "UNAUTHENTICATED": "auth",
    "UNAVAILABLE": "overloaded",
}
"""`error.status`, the names of google.rpc.Code."""


class ErrorWire(Struct):
    message: str = ""
    status: str = ""
    details: list[dict[str, Any]] = []


class ErrorBody(Struct):
    error: ErrorWire


class CountBody(Struct, rename="camel"):
    total_tokens: int


ERROR = msgspec.json.Decoder(ErrorBody)
COUNT = msgspec.json.Decoder(CountBody)
ERRORS = msgspec.json.Decoder(list[ErrorBody])


class GeminiDialect:
    """One model of the Gemini API (`dialects.base.Dialect`)."""

    name = "gemini"

    def __init__(self, model: str) -> None:
        self._model = model
        self._path = f"/models/{quote(model, safe='')}:"

    def request(self, exchange: Exchange) -> Outgoing:
        if exchange.operation == "embed":
            return Outgoing(f"{self._path}batchEmbedContents", written_embed(exchange, self._model))
        if exchange.operation not in ("chat", "complete"):
            raise unsupported(self._model, repr(exchange.operation))
        method = "streamGenerateContent?alt=sse" if exchange.stream else "generateContent"
        return Outgoing(self._path + method, written(exchange, self._model))

    def counting(self, exchange: Exchange) -> Outgoing:
        fields = {"model": f"models/{self._model}"} | OBJECT.decode(written(exchange, self._model))
        return Outgoing(f"{self._path}countTokens", ENCODER.encode({"generateContentRequest": fields}))

    def count(self, data: bytes) -> int | None:
        wire = understood(COUNT, data)
        return wire.total_tokens if wire else None

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        return GeminiReading() if content_type == "text/event-stream" else None

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        if exchange.operation == "embed":
            vectors = understood(EMBEDDINGS, data)
            return vectors_of(vectors) if vectors else None
        wire = understood(ANSWER, data)
        if wire is None:
            return None
        if bytes(wire.error) not in (b"", b"null"):
            raise StreamFailed(data, understood_failure(500, data))
        reader = Reader()
        first, *others = reader.chunks(wire) or [Chunk()]
        return msgspec.structs.replace(first, others=tuple(others)) if reader.finished else None

    def failure(self, status: int, data: bytes) -> Failure:
        return understood_failure(status, data)


class GeminiReading:
    """A stream of `data:` events without an end mark: it is complete once the model said why it stopped."""

    def __init__(self) -> None:
        self._events = EventReader()
        self._reader = Reader()
        self.ended = False

    @property
    def complete(self) -> bool:
        return self._reader.finished

    def feed(self, received: bytes) -> Iterator[Chunk]:
        for data in self._events.feed(received):
            wire = understood(ANSWER, data)
            if wire is None:
                raise StreamFailed(data, Failure(kind="broken_stream", message="an event that is not an answer"))
            if bytes(wire.error) not in (b"", b"null"):
                raise StreamFailed(data, understood_failure(500, data))
            yield from self._reader.chunks(wire)


def understood_failure(status: int, data: bytes) -> Failure:
    """What an error body means. That a key is wrong is a 400 here, too."""
    wires = understood(ERRORS, data) if data.lstrip()[:1] == b"[" else None
    wire = wires[0] if wires else understood(ERROR, data)
    if wire is None:
        return Failure(kind=kind_of(status))
    error = wire.error
    kind = kind_of(status, error.message)
    if kind != "context_length":
        kind = KINDS.get(error.status, kind)
    wait: float | None = None
    for detail in error.details:
        if detail.get("reason") in ("API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED"):
            kind = "auth"
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            wait = seconds(delay[:-1])
    return Failure(kind=kind, message=error.message, retry_after=wait)


def seconds(text: str) -> float | None:
    try:
        return max(0.0, float(text))
    except ValueError:
        return None
