"""Answers in the OpenAI dialect, read: what usage, text and end an upstream's bytes hold.

Reading never fails: what an upstream writes otherwise than expected is passed on and not understood.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

import msgspec
import numpy as np
from msgspec import Raw, Struct

from penstock.exchange import Chunk, FinishReason, Usage

T = TypeVar("T")

MAX_EVENT = 16 << 20
FINISH_REASONS: dict[str, FinishReason] = {reason: reason for reason in get_args(FinishReason)} | {
    "function_call": "tool_calls"
}


class PromptDetails(Struct):
    cached_tokens: int | None = None


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class UsageWire(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class Words(Struct):
    content: str | None = None


class Choice(Struct):
    index: int = 0
    delta: Words | None = None
    message: Words | None = None
    text: str | None = None
    finish_reason: str | None = None


class AnswerWire(Struct):
    choices: list[Choice] = []
    usage: UsageWire | None = None
    error: Raw = Raw()


class EmbeddingWire(Struct):
    embedding: str | list[float]


class EmbeddingsWire(Struct):
    data: list[EmbeddingWire]
    usage: UsageWire | None = None


class ErrorBody(Struct):
    """What APIs call an error: an object with a message, or only the message."""

    error: Any = None
    message: str | None = None
    detail: Any = None


ANSWER = msgspec.json.Decoder(AnswerWire)
EMBEDDINGS = msgspec.json.Decoder(EmbeddingsWire)
OBJECT = msgspec.json.Decoder(dict[str, Raw])
ERROR = msgspec.json.Decoder(ErrorBody)


class Event(Struct, frozen=True):
    """One event of a stream. `extra` is one that exists only to carry usage; `failed` one that is an error."""

    chunk: Chunk
    extra: bool = False
    failed: bool = False


def read_event(data: bytes) -> Event:
    wire = understood(ANSWER, data)
    if wire is None:
        return Event(Chunk(raw=data))
    if bytes(wire.error) not in (b"", b"null"):
        return Event(Chunk(raw=data), failed=True)
    return Event(chunk_of(wire, data), extra=not wire.choices and wire.usage is not None)


def read_body(data: bytes) -> Chunk | None:
    """A whole answer that was not streamed; `None` for what is no answer at all."""
    wire = understood(ANSWER, data)
    return chunk_of(wire, data) if wire and wire.choices else None


def chunk_of(wire: AnswerWire, data: bytes) -> Chunk:
    """What is read of the first choice; the others are only in the bytes."""
    text, finish = "", None
    for choice in wire.choices:
        if choice.index == 0:
            words = choice.delta or choice.message
            text += (words.content if words else choice.text) or ""
            if choice.finish_reason:
                finish = FINISH_REASONS.get(choice.finish_reason, "stop")
    return Chunk(text=text, finish_reason=finish, usage=usage_of(wire.usage), raw=data)


def read_embeddings(data: bytes) -> Chunk | None:
    """The answer to an `embed` with its vectors; `None` for what is no answer at all."""
    wire = understood(EMBEDDINGS, data)
    if wire is None:
        return None
    return Chunk(
        embeddings=tuple(vector_of(each.embedding) for each in wire.data), usage=usage_of(wire.usage), raw=data
    )


def read_usage(data: bytes) -> Usage | None:
    wire = understood(ANSWER, data)
    return usage_of(wire.usage) if wire else None


def is_object(data: bytes) -> bool:
    """Whether a body is a JSON object, understood or not."""
    return understood(OBJECT, data) is not None


def vector_of(embedding: str | list[float]) -> bytes:
    if isinstance(embedding, str):
        return base64.b64decode(embedding)
    return np.asarray(embedding, "<f4").tobytes()


def usage_of(wire: UsageWire | None) -> Usage | None:
    """Usage in disjoint classes."""
    if wire is None or wire.prompt_tokens is None:
        return None
    cached = wire.prompt_tokens_details.cached_tokens if wire.prompt_tokens_details else None
    if cached is None:
        cached = wire.prompt_cache_hit_tokens
    reasoning = wire.completion_tokens_details.reasoning_tokens if wire.completion_tokens_details else None
    return Usage(
        input=max(0, wire.prompt_tokens - (cached or 0)),
        output=max(0, (wire.completion_tokens or 0) - (reasoning or 0)),
        cached_input=cached,
        reasoning=reasoning,
    )


def understood(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decoder.decode(data)
    return None


def error_message(data: bytes) -> str:
    """The message of an error body, "" where there is none."""
    wire = understood(ERROR, data)
    if wire is None:
        return ""
    found = wire.error or wire.message or wire.detail
    if isinstance(found, dict):
        found = found.get("message")
    return found if isinstance(found, str) else ""


def is_error(data: bytes) -> bool:
    """Whether a body is an error in this dialect, to be forwarded as it came."""
    wire = understood(ERROR, data)
    return wire is not None and isinstance(wire.error, dict) and "message" in wire.error


class EventReader:
    """Cuts a byte stream into the data of its events (WHATWG server-sent events).

    Comments and fields other than `data` carry nothing in this dialect. Raises `OverflowError` for an event of
    more than `MAX_EVENT` bytes.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> Iterator[bytes]:
        text = self._rest + received if self._rest else received
        lines = text.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) + self._size > MAX_EVENT:
            raise OverflowError(f"an event of more than {MAX_EVENT} bytes")
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._size += len(line)
            elif not line and self._data:
                yield self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data.clear()
                self._size = 0
