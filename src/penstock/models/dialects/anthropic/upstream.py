"""Answers in the Anthropic dialect, read: what words, calls, thoughts, usage and end an upstream's bytes hold.

Reading never fails: what an upstream writes otherwise than expected is passed on and not understood.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from penstock.exchange import Chunk, FinishReason, FunctionCall, ThinkingBlock, ToolCall, Usage
from penstock.models.dialects.counts import believable
from penstock.models.dialects.decoding import understood

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
NO_INPUT = ("", "{}", "null")


class OutputDetails(Struct):
    thinking_tokens: int | None = None


class UsageWire(Struct):
    """Token counts; those of a later event replace those of an earlier one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class BlockWire(Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()


class DeltaWire(Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class MessageWire(Struct):
    """A whole answer; in a stream, what is known of it at its start."""

    type: str = ""
    content: list[BlockWire] = []
    stop_reason: str | None = None
    usage: UsageWire | None = None


class EventWire(Struct):
    type: str = ""
    index: int = 0
    message: MessageWire | None = None
    content_block: BlockWire | None = None
    delta: DeltaWire | None = None
    usage: UsageWire | None = None


class ErrorDetail(Struct):
    message: str
    type: str = ""


class ErrorWire(Struct):
    error: ErrorDetail
    type: str = ""


class CountWire(Struct):
    input_tokens: int


EVENT = msgspec.json.Decoder(EventWire)
MESSAGE = msgspec.json.Decoder(MessageWire)
ERROR = msgspec.json.Decoder(ErrorWire)
COUNT = msgspec.json.Decoder(CountWire)


class Event(Struct, frozen=True):
    """One event of a stream. `failed` is one that is an error, `ended` the last one of an answer that is whole.

    `understood` is whether it was read at all.
    """

    chunk: Chunk
    failed: bool = False
    ended: bool = False
    understood: bool = True


class StreamReader:
    """Reads the events of one answer, which refer to each other by the number of their block."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        self._empty: set[int] = set()
        self._counts = UsageWire()

    def read_event(self, data: bytes) -> Event:
        """What the data of one event says. Its chunk has nothing but bytes where that is nothing of the answer."""
        wire = understood(EVENT, data)
        if wire is None:
            return Event(Chunk(raw=data), understood=False)
        if wire.type == "content_block_delta":
            return Event(self._delta(wire, data))
        if wire.type == "content_block_start" and wire.content_block is not None:
            return Event(self._start(wire.index, wire.content_block, data))
        if wire.type == "content_block_stop" and wire.index in self._empty:
            return Event(Chunk(tool_calls=(self._piece(wire.index, "{}"),), raw=data))
        if wire.type == "message_start" and wire.message is not None:
            return Event(Chunk(usage=self._count(wire.message.usage), raw=data))
        if wire.type == "message_delta":
            reason = wire.delta.stop_reason if wire.delta else None
            finish = FINISH_REASONS.get(reason, "stop") if reason else None
            return Event(Chunk(finish_reason=finish, usage=self._count(wire.usage), raw=data))
        return Event(Chunk(raw=data), failed=wire.type == "error", ended=wire.type == "message_stop")

    def _delta(self, wire: EventWire, data: bytes) -> Chunk:
        delta = wire.delta
        if delta is None:
            return Chunk(raw=data)
        if delta.text:
            return Chunk(text=delta.text, raw=data)
        if delta.partial_json and wire.index in self._calls:
            return Chunk(tool_calls=(self._piece(wire.index, delta.partial_json),), raw=data)
        if delta.thinking:
            return Chunk(reasoning=delta.thinking, raw=data)
        if delta.signature:
            return Chunk(thinking_blocks=(ThinkingBlock("thinking", signature=delta.signature),), raw=data)
        return Chunk(raw=data)

    def _start(self, index: int, block: BlockWire, data: bytes) -> Chunk:
        if block.type == "tool_use":
            number = self._calls[index] = len(self._calls)
            arguments = words_of(block.input)
            if arguments in NO_INPUT:
                self._empty.add(index)
                arguments = ""
            call = ToolCall(block.id, FunctionCall(block.name or "", arguments), index=number)
            return Chunk(tool_calls=(call,), raw=data)
        if block.type == "redacted_thinking":
            return Chunk(thinking_blocks=(ThinkingBlock(block.type, data=block.data),), raw=data)
        if block.type == "text":
            return Chunk(text=block.text or "", raw=data)
        return Chunk(reasoning=block.thinking or "" if block.type == "thinking" else "", raw=data)

    def _piece(self, index: int, arguments: str) -> ToolCall:
        self._empty.discard(index)
        return ToolCall(function=FunctionCall(arguments=arguments), index=self._calls[index])

    def _count(self, wire: UsageWire | None) -> Usage | None:
        """All that is counted so far, for each event names only what it knows better."""
        if wire is not None:
            known = self._counts
            for name in UsageWire.__struct_fields__:
                if (value := getattr(wire, name)) is not None:
                    setattr(known, name, value)
        return usage_of(self._counts)


def read_body(data: bytes) -> Chunk | None:
    """A whole answer that was not streamed; `None` for what is no answer at all."""
    wire = understood(MESSAGE, data)
    if wire is None or wire.type != "message":
        return None
    blocks = wire.content
    calls = [block for block in blocks if block.type == "tool_use"]
    thoughts = [block for block in blocks if block.type in ("thinking", "redacted_thinking")]
    return Chunk(
        text="".join(block.text for block in blocks if block.type == "text" and block.text),
        reasoning="".join(block.thinking for block in thoughts if block.thinking),
        tool_calls=tuple(
            ToolCall(
                block.id,
                FunctionCall(block.name or "", words_of(block.input) or "{}"),
                index=at,
            )
            for at, block in enumerate(calls)
        ),
        finish_reason=FINISH_REASONS.get(wire.stop_reason, "stop") if wire.stop_reason else None,
        usage=usage_of(wire.usage) if wire.usage else None,
        raw=data,
        thinking_blocks=tuple(
            ThinkingBlock(block.type, block.thinking, block.signature, block.data) for block in thoughts
        ),
    )


def words_of(raw: Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def read_count(data: bytes) -> int | None:
    """The answer to a question for the number of tokens; `None` for what is none."""
    wire = understood(COUNT, data)
    return wire.input_tokens if wire else None


def usage_of(wire: UsageWire) -> Usage | None:
    """Usage in disjoint classes, as this dialect counts input; thoughts are counted within its output."""
    if wire.input_tokens is None:
        return None
    details = wire.output_tokens_details
    reasoning = details.thinking_tokens if details else None
    cached, written = wire.cache_read_input_tokens, wire.cache_creation_input_tokens
    if not believable(wire.input_tokens, wire.output_tokens, cached, written, reasoning):
        return None
    return Usage(
        input=wire.input_tokens,
        output=max(0, (wire.output_tokens or 0) - (reasoning or 0)),
        cached_input=cached,
        cache_write=written,
        reasoning=reasoning,
    )


def error_message(data: bytes) -> str:
    """The message of an error body, "" where there is none."""
    wire = understood(ERROR, data)
    return wire.error.message if wire else ""


def error_type(data: bytes) -> str:
    """What kind of error a body says it is ("overloaded_error"), "" where it does not say."""
    wire = understood(ERROR, data)
    return wire.error.type if wire else ""


def is_error(data: bytes) -> bool:
    """Whether a body is an error in this dialect, to be forwarded as it came."""
    wire = understood(ERROR, data)
    return wire is not None and wire.type == "error"
