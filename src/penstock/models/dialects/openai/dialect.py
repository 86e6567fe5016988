"""The OpenAI dialect as providers speak it.

A body that came in this dialect travels as it came, with only the model's name changed and usage asked for in
streams; events are forwarded as they came while usage is read off them. The event that exists only because we
asked for usage is taken out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from penstock.errors import FailureKind
from penstock.exchange import Chunk, Exchange, Operation
from penstock.models.dialects.base import Failure, Outgoing, Reading, StreamFailed, unsupported
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.failures import kind_of
from penstock.models.dialects.openai import operations
from penstock.models.dialects.openai.operation_answers import PassedReading, read_answer
from penstock.models.dialects.openai.requests import Wording, renamed, written
from penstock.models.dialects.openai.upstream import (
    ERROR,
    EventReader,
    error_message,
    is_error,
    is_object,
    read_body,
    read_embeddings,
    read_event,
    read_usage,
)

NAME = "openai"
PATHS: dict[Operation, str] = {
    "chat": "/chat/completions",
    "complete": "/completions",
    "embed": "/embeddings",
}
NO_PATHS: Mapping[Operation, str] = MappingProxyType({})
DONE = b"[DONE]"
CODES: dict[str, FailureKind] = {
    "authentication_error": "auth",
    "billing_not_active": "auth",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "context_length_exceeded": "context_length",
    "deployment_not_found": "bad_request",
    "engine_overloaded": "overloaded",
    "exceed_context_size_error": "context_length",
    "insufficient_quota": "rate_limit",
    "invalid_api_key": "auth",
    "invalid_authentication": "auth",
    "invalid_prompt": "content_filter",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "permission_denied": "auth",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "requests_limit_reached": "rate_limit",
    "server_error": "server_error",
    "service_unavailable": "overloaded",
    "string_above_max_length": "context_length",
    "timeout": "timeout",
}
"""`error.code` or `error.type` of OpenAI and of the vendors that follow it."""


class OpenAIDialect:
    """One model behind an API that is compatible with OpenAI's (`dialects.base.Dialect`).

    `path` is the form of a request's path, with `{}` for the operation's; `paths` are whole ones, for operations
    that have one of their own.
    """

    name = NAME

    def __init__(
        self, model: str, wording: Wording, path: str = "{}", paths: Mapping[Operation, str] = NO_PATHS
    ) -> None:
        self._model = model
        self._wording = wording
        self._paths = {operation: path.format(end) for operation, end in (PATHS | operations.PATHS).items()}
        self._paths.update(paths)

    def request(self, exchange: Exchange) -> Outgoing:
        path = self._paths.get(exchange.operation)
        if path is None:
            raise unsupported(self._model, f"{exchange.operation!r}")
        if exchange.operation in operations.PATHS:
            return operations.outgoing(exchange, self._model, path)
        if exchange.dialect == NAME:
            ask = exchange.stream and self._wording.include_usage and not exchange.wants_usage
            body = renamed(exchange.body, self._model, include_usage=ask)
        else:
            body = written(exchange, self._model, self._wording)
        return Outgoing(path, body)

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        if not exchange.stream or content_type == "application/json":
            return None
        if exchange.operation in operations.PATHS:
            return PassedReading(content_type)
        return OpenAIReading(exchange)

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        """A caller of this dialect may understand more than is read here, so any JSON object is passed on."""
        faithful = exchange.dialect == NAME
        chunk: Chunk | None = None
        if exchange.operation in operations.PATHS:
            chunk = read_answer(data, exchange, content_type)
        elif exchange.operation != "embed":
            chunk = read_body(data)
        elif not faithful:  # the vectors may be many, and are otherwise passed on
            chunk = read_embeddings(data)
        if chunk is None:
            failure = understood_failure(200, data)
            if failure.forward:
                raise StreamFailed(data, failure)
            return Chunk(usage=read_usage(data), raw=data) if faithful and is_object(data) else None
        return chunk if faithful else msgspec.structs.replace(chunk, raw=None)

    def failure(self, status: int, data: bytes) -> Failure:
        return understood_failure(status, data)


def understood_failure(status: int, data: bytes) -> Failure:
    message = error_message(data)
    wire = understood(ERROR, data)
    error: Any = wire.error if wire else None
    kind = kind_of(status if status >= 400 else status_in(error), message)
    if isinstance(error, dict):
        for name in ("code", "type", "status"):
            word = error.get(name)
            if isinstance(word, str) and word.lower() in CODES:
                kind = CODES[word.lower()]
                break
        inner = error.get("innererror")
        if isinstance(inner, dict) and inner.get("code") == "ResponsibleAIPolicyViolation":
            kind = "content_filter"
    return Failure(kind=kind, message=message, forward=is_error(data))


def status_in(error: Any) -> int:
    """The status that an error inside an answer of status 200 says in its `code`."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


class OpenAIReading:
    """A stream of `data:` events up to `[DONE]`, some vendors leaving that mark out."""

    def __init__(self, exchange: Exchange) -> None:
        self._events = EventReader()
        self._faithful = exchange.dialect == NAME
        self._wants_usage = exchange.wants_usage
        self.complete = False
        self.ended = False

    def feed(self, received: bytes) -> Iterator[Chunk]:
        for data in self._events.feed(received):
            if data == DONE:
                self.complete = self.ended = True
                return
            event = read_event(data)
            if event.failed:
                raise StreamFailed(data, understood_failure(200, data))
            if not event.understood and not self._faithful:
                raise StreamFailed(data, Failure(kind="broken_stream", message="an event that is not an answer"))
            chunk = event.chunk
            if chunk.finish_reason is not None:
                self.complete = True
            if event.extra and not self._wants_usage:
                yield Chunk(usage=chunk.usage)
            else:
                yield chunk if self._faithful else msgspec.structs.replace(chunk, raw=None)
