"""Answers in the OpenAI dialect, read: what usage, text and end an upstream's bytes hold.

Reading never fails: what an upstream writes otherwise than expected is passed on and not understood.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import numpy as np
from msgspec import Raw, Struct

from penstock.exchange import Chunk, FinishReason, FunctionCall, ThinkingBlock, TokenLogprob, ToolCall, Usage
from penstock.models.dialects.counts import believable
from penstock.models.dialects.decoding import understood

MAX_EVENT = 16 << 20
NULL = Raw(b"null")
FINISH_REASONS: dict[str, FinishReason] = {reason: reason for reason in get_args(FinishReason)} | {
    "function_call": "tool_calls",
    "model_length": "length",
}


class PromptDetails(Struct):
    cached_tokens: int | None = None


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class UsageWire(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class FunctionWire(Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCallWire(Struct):
    index: int | None = None
    id: str | None = None
    function: FunctionWire | None = None


class Words(Struct):
    """What was said. Vendors name what was thought `reasoning_content` or `reasoning`; some send objects there."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[ToolCallWire] | None = None
    thinking_blocks: list[ThinkingBlock] | None = None


class TopWire(Struct):
    token: str
    logprob: float


class TokenWire(TopWire):
    top_logprobs: list[TopWire] | None = None


class LogprobsWire(Struct):
    """Of a chat in `content`; of a completion in the others, one item per token."""

    content: list[TokenWire] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class Choice(Struct):
    index: int = 0
    delta: Words | None = None
    message: Words | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: LogprobsWire | None = None


class AnswerWire(Struct):
    choices: list[Choice] = []
    usage: UsageWire | None = None
    error: Raw = Raw()


class LooseAnswer(Struct):
    """An answer whose usage is not as it should be."""

    choices: list[Choice] = []
    error: Raw = Raw()


class BareChoice(Struct):
    index: int = 0
    finish_reason: str | None = None


class BareAnswer(Struct):
    """What matters most, where the rest is not as expected."""

    choices: list[BareChoice] = []
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
LOOSE = msgspec.json.Decoder(LooseAnswer)
BARE = msgspec.json.Decoder(BareAnswer)
EMBEDDINGS = msgspec.json.Decoder(EmbeddingsWire)
OBJECT = msgspec.json.Decoder(dict[str, Raw])
ERROR = msgspec.json.Decoder(ErrorBody)


class Event(Struct, frozen=True):
    """One event of a stream. `extra` is one that exists only to carry usage; `failed` one that is an error.

    `understood` is whether its words were read, not only its bytes.
    """

    chunk: Chunk
    extra: bool = False
    failed: bool = False
    understood: bool = True


def read_event(data: bytes) -> Event:
    wire = answer_of(data)
    if wire is None:
        return Event(Chunk(raw=data), understood=False)
    if wire.error and wire.error != NULL:
        return Event(Chunk(raw=data), failed=True)
    return Event(chunk_of(wire, data), extra=not wire.choices and wire.usage is not None)


def read_body(data: bytes) -> Chunk | None:
    """A whole answer that was not streamed; `None` for what is no answer at all."""
    wire = answer_of(data)
    return chunk_of(wire, data) if wire and wire.choices else None


def answer_of(data: bytes) -> AnswerWire | None:
    """The answer as far as it is understood: at least its ends and usage, if those are as they should be."""
    try:
        return ANSWER.decode(data)
    except msgspec.ValidationError:
        loose = understood(LOOSE, data)
        if loose is not None:
            return AnswerWire(loose.choices, None, loose.error)
        bare = understood(BARE, data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if bare is None:
        return None
    choices = [Choice(index=each.index, finish_reason=each.finish_reason) for each in bare.choices]
    return AnswerWire(choices, None, bare.error)


def chunk_of(wire: AnswerWire, data: bytes) -> Chunk:
    """The first answer with the bytes and the usage; what they hold of others stands in `others`."""
    usage = usage_of(wire.usage) if wire.usage is not None else None
    if not wire.choices:
        return Chunk(usage=usage, raw=data)
    if len(wire.choices) == 1:
        return choice_chunk(wire.choices[0], data, usage, ())
    first, *others = sorted(wire.choices, key=lambda choice: choice.index)
    return choice_chunk(first, data, usage, tuple(choice_chunk(each, None, None, ()) for each in others))


def choice_chunk(choice: Choice, data: bytes | None, usage: Usage | None, others: tuple[Chunk, ...]) -> Chunk:
    finish = FINISH_REASONS.get(choice.finish_reason, "stop") if choice.finish_reason else None
    words = choice.delta or choice.message
    if words is None:
        text, reasoning = choice.text or "", ""
    else:
        content = words.content
        text = content if isinstance(content, str) else text_of(content) if content else words.refusal or ""
        reasoning = words.reasoning_content or ""
        if not reasoning and isinstance(words.reasoning, str):
            reasoning = words.reasoning
        elif not isinstance(content, str) and content:
            reasoning = thoughts_of(content)
    return Chunk(
        text=text,
        index=choice.index,
        reasoning=reasoning,
        tool_calls=tool_calls_of(words.tool_calls) if words and words.tool_calls else (),
        finish_reason=finish,
        logprobs=logprobs_of(choice.logprobs) if choice.logprobs else (),
        usage=usage,
        raw=data,
        thinking_blocks=closed_blocks(words.thinking_blocks) if words and words.thinking_blocks else (),
        others=others,
    )


def text_of(parts: list[Any]) -> str:
    """The text of a content that is a list of parts (Mistral's, where it thinks)."""
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def thoughts_of(parts: list[Any]) -> str:
    """What was thought in such a list: parts with a list of text parts under "thinking"."""
    inner = [part.get("thinking") for part in parts if isinstance(part, dict)]
    return "".join(text_of(each) for each in inner if isinstance(each, list))


def closed_blocks(blocks: list[ThinkingBlock]) -> tuple[ThinkingBlock, ...]:
    """Blocks that are signed: some gateways repeat every piece of reasoning in an unsigned one."""
    return tuple(
        ThinkingBlock(each.type, each.thinking or None, each.signature, each.data)
        for each in blocks
        if each.signature or each.data
    )


def tool_calls_of(wires: list[ToolCallWire]) -> tuple[ToolCall, ...]:
    """Pieces of calls. Where a vendor does not number them, they come whole, one after the other."""
    return tuple(
        ToolCall(
            id=wire.id,
            function=FunctionCall(wire.function.name or "", wire.function.arguments or "")
            if wire.function
            else FunctionCall(),
            index=place if wire.index is None else wire.index,
        )
        for place, wire in enumerate(wires)
    )


def logprobs_of(wire: LogprobsWire) -> tuple[TokenLogprob, ...]:
    if wire.content:
        return tuple(
            TokenLogprob(
                each.token, each.logprob, tuple((top.token, top.logprob) for top in each.top_logprobs or ())
            )
            for each in wire.content
        )
    tokens, scores = wire.tokens or [], wire.token_logprobs or []
    tops: list[dict[str, float] | None] = wire.top_logprobs or [None] * len(tokens)
    return tuple(
        TokenLogprob(token, score, tuple((top or {}).items()))
        for token, score, top in zip(tokens, scores, tops, strict=False)
        if score is not None
    )


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
    completion = wire.completion_tokens or 0
    if not believable(wire.prompt_tokens, cached, completion, reasoning):
        return None
    if reasoning and wire.total_tokens == wire.prompt_tokens + completion + reasoning:
        completion += reasoning  # xAI counts thoughts beside the answer
    return Usage(
        input=max(0, wire.prompt_tokens - (cached or 0)),
        output=max(0, completion - (reasoning or 0)),
        cached_input=cached,
        reasoning=reasoning,
    )


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
