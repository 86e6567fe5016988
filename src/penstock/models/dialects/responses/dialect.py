"""The Responses API as providers speak it: bodies and events pass as they come, usage and text are read off."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from penstock.exchange import Chunk, Exchange, FinishReason, FunctionCall, ToolCall, Usage
from penstock.models.dialects.base import Failure, Outgoing, Reading, StreamFailed
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.openai.dialect import understood_failure
from penstock.models.dialects.openai.upstream import EventReader, is_object
from penstock.models.dialects.responses.requests import NAME, renamed

PATH = "/responses"
TEXT = frozenset({"response.output_text.delta", "response.refusal.delta"})
THOUGHT = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
ENDS = frozenset({"response.completed", "response.incomplete"})
FAILURES = frozenset({"response.failed", "error"})


class CachedTokens(Struct):
    cached_tokens: int | None = None


class ReasoningTokens(Struct):
    reasoning_tokens: int | None = None


class UsageRead(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: CachedTokens | None = None
    output_tokens_details: ReasoningTokens | None = None


class PartRead(Struct):
    text: str | None = None
    refusal: str | None = None


class ItemRead(Struct):
    type: str = ""
    content: list[PartRead] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class Reason(Struct):
    reason: str | None = None


class ErrorRead(Struct):
    message: str | None = None


class ResponseRead(Struct):
    status: str | None = None
    output: list[ItemRead] | None = None
    usage: UsageRead | None = None
    incomplete_details: Reason | None = None
    error: ErrorRead | None = None


class EventRead(Struct):
    type: str = ""
    delta: str | None = None
    item: ItemRead | None = None
    output_index: int = 0
    response: ResponseRead | None = None


RESPONSE = msgspec.json.Decoder(ResponseRead)
EVENT = msgspec.json.Decoder(EventRead)


class ResponsesDialect:
    """One model behind OpenAI's Responses API (`dialects.base.Dialect`), for callers who speak it, too.

    `provider` is what the provider is called: responses are only known to the one that gave them. `path` is the
    form of a request's path, with `{}` for the operation's.
    """

    name = NAME

    def __init__(self, model: str, provider: str, path: str = "{}") -> None:
        self._model = model
        self._provider = provider
        self._path = path.format(PATH)

    def request(self, exchange: Exchange) -> Outgoing:
        return Outgoing(self._path, renamed(exchange, self._model, self._provider))

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        return ResponsesReading(self._provider) if exchange.stream and content_type != "application/json" else None

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        wire = understood(RESPONSE, data)
        if wire is None or wire.output is None:
            return Chunk(raw=data) if is_object(data) else None
        calls = [each for each in wire.output if each.type == "function_call"]
        return Chunk(
            text="".join(text_of(each) for each in wire.output),
            tool_calls=tuple(call_of(each, place) for place, each in enumerate(calls)),
            finish_reason=finish_of(wire),
            usage=usage_of(wire.usage),
            raw=data,
            served_by=self._provider,
        )

    def failure(self, status: int, data: bytes) -> Failure:
        return understood_failure(status, data)


class ResponsesReading:
    """A stream of events, the last of which has the whole response, and tells who gave it."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._events = EventReader()
        self.complete = False
        self.ended = False

    def feed(self, received: bytes) -> Iterator[Chunk]:
        for data in self._events.feed(received):
            wire = understood(EVENT, data)
            if wire is None:
                yield Chunk(raw=data)
                continue
            if wire.type in FAILURES:
                raise StreamFailed(data, self._failure(wire, data))
            chunk = chunk_of(wire, data)
            if chunk.finish_reason is not None:
                self.complete = self.ended = True
                chunk = msgspec.structs.replace(chunk, served_by=self._provider)
            yield chunk

    def _failure(self, wire: EventRead, data: bytes) -> Failure:
        error = wire.response.error if wire.response else None
        found = understood_failure(500, data)
        if error is not None:
            found = msgspec.structs.replace(found, message=error.message or "")
        return found


def chunk_of(wire: EventRead, data: bytes) -> Chunk:
    if wire.type in TEXT:
        return Chunk(text=wire.delta or "", raw=data)
    if wire.type in THOUGHT:
        return Chunk(reasoning=wire.delta or "", raw=data)
    if wire.type == "response.output_item.done" and wire.item and wire.item.type == "function_call":
        return Chunk(tool_calls=(call_of(wire.item, wire.output_index),), raw=data)
    if wire.type in ENDS and wire.response is not None:
        return Chunk(finish_reason=finish_of(wire.response), usage=usage_of(wire.response.usage), raw=data)
    return Chunk(raw=data)


def text_of(item: ItemRead) -> str:
    if item.type != "message":
        return ""
    return "".join(part.text or part.refusal or "" for part in item.content or ())


def call_of(item: ItemRead, index: int) -> ToolCall:
    return ToolCall(item.call_id, FunctionCall(item.name or "", item.arguments or ""), index=index)


def finish_of(wire: ResponseRead) -> FinishReason:
    if wire.status == "failed":
        return "error"
    if wire.incomplete_details is not None and wire.incomplete_details.reason is not None:
        return "content_filter" if wire.incomplete_details.reason == "content_filter" else "length"
    called = any(each.type == "function_call" for each in wire.output or ())
    return "tool_calls" if called else "stop"


def usage_of(wire: UsageRead | None) -> Usage | None:
    """Usage in disjoint classes."""
    if wire is None or wire.input_tokens is None:
        return None
    cached = wire.input_tokens_details.cached_tokens if wire.input_tokens_details else None
    reasoning = wire.output_tokens_details.reasoning_tokens if wire.output_tokens_details else None
    return Usage(
        input=max(0, wire.input_tokens - (cached or 0)),
        output=max(0, (wire.output_tokens or 0) - (reasoning or 0)),
        cached_input=cached,
        reasoning=reasoning,
    )
