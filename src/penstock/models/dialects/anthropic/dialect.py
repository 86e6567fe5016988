"""The Anthropic dialect as providers speak it.

A body that came in this dialect travels as it came, with only the model's name changed, and so do its events.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.errors import FailureKind
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.anthropic.requests import NAME, counted, renamed, written
from penstock.models.dialects.anthropic.upstream import (
    StreamReader,
    error_message,
    error_type,
    is_error,
    read_body,
    read_count,
)
from penstock.models.dialects.anthropic.writing import Wording
from penstock.models.dialects.base import JSON, Failure, Headers, Outgoing, Reading, StreamFailed, unsupported
from penstock.models.dialects.failures import kind_of
from penstock.models.dialects.openai.upstream import EventReader, is_object

FORWARDED = ("anthropic-beta",)
"""Headers of a caller of this dialect that change what an answer is, from `Exchange.options["headers"]`."""

KINDS: dict[str, FailureKind] = {
    "api_error": "server_error",
    "authentication_error": "auth",
    "billing_error": "auth",
    "overloaded_error": "overloaded",
    "permission_error": "auth",
    "rate_limit_error": "rate_limit",
    "request_too_large": "context_length",
    "timeout_error": "timeout",
}


class AnthropicDialect:
    """One model of the Messages API (`dialects.base.Dialect`)."""

    name = NAME

    def __init__(self, model: str, wording: Wording) -> None:
        self._model = model
        self._wording = wording

    def request(self, exchange: Exchange) -> Outgoing:
        if exchange.operation not in ("chat", "complete"):
            raise unsupported(self._model, repr(exchange.operation))
        if exchange.dialect != NAME:
            return Outgoing("/messages", written(exchange, self._model, self._wording))
        return Outgoing("/messages", renamed(exchange.body, self._model), headers_of(exchange))

    def counting(self, exchange: Exchange) -> Outgoing:
        body = counted(exchange, self._model, self._wording)
        return Outgoing("/messages/count_tokens", body, headers_of(exchange))

    def count(self, data: bytes) -> int | None:
        return read_count(data)

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        return AnthropicReading(exchange) if content_type == "text/event-stream" else None

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        """A caller of this dialect may understand more than is read here, so any JSON object is passed on."""
        faithful = exchange.dialect == NAME
        chunk = read_body(data)
        if chunk is None and is_error(data):
            raise StreamFailed(data, understood_failure(500, data))
        if chunk is None:
            return Chunk(raw=data) if faithful and is_object(data) else None
        return chunk if faithful else msgspec.structs.replace(chunk, raw=None)

    def failure(self, status: int, data: bytes) -> Failure:
        return understood_failure(status, data)


class AnthropicReading:
    """A stream of events from `message_start` to `message_stop`."""

    def __init__(self, exchange: Exchange) -> None:
        self._events = EventReader()
        self._reader = StreamReader()
        self._faithful = exchange.dialect == NAME
        self.ended = False

    @property
    def complete(self) -> bool:
        return self.ended

    def feed(self, received: bytes) -> Iterator[Chunk]:
        for data in self._events.feed(received):
            event = self._reader.read_event(data)
            if event.failed:
                raise StreamFailed(data, understood_failure(500, data))
            if not event.understood and not self._faithful:
                raise StreamFailed(data, Failure(kind="broken_stream", message="an event that is not an answer"))
            self.ended = self.ended or event.ended
            if self._faithful:
                yield event.chunk
            elif (chunk := msgspec.structs.replace(event.chunk, raw=None)) != EMPTY:
                yield chunk


EMPTY = Chunk()


def understood_failure(status: int, data: bytes) -> Failure:
    message = error_message(data)
    kind = kind_of(status, message)
    if kind != "context_length":
        kind = KINDS.get(error_type(data), kind)
    return Failure(kind=kind, message=message, forward=is_error(data))


def headers_of(exchange: Exchange) -> Headers:
    given = exchange.options.get("headers") if exchange.dialect == NAME else None
    if not given:
        return JSON
    return (*JSON, *((name, given[name]) for name in FORWARDED if name in given))
