"""Answers in the dialect of Bedrock's Converse, read: whole ones, and the events of a stream."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from penstock.exchange import Chunk, FinishReason, FunctionCall, ThinkingBlock, ToolCall, Usage
from penstock.models.dialects.counts import believable

FINISHED: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Any other reason says that what came is broken."""


class ToolUse(Struct, rename="camel"):
    tool_use_id: str | None = None
    name: str = ""
    input: Raw = Raw()


class ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class Reasoning(Struct, rename="camel"):
    """In a whole answer `reasoning_text`, in a piece of a stream its fields."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None
    signature: str | None = None


class Block(Struct, rename="camel"):
    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None


class MessageWire(Struct):
    content: list[Block] = []


class OutputWire(Struct):
    message: MessageWire | None = None


class UsageWire(Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class AnswerWire(Struct, rename="camel"):
    output: OutputWire
    stop_reason: str
    usage: UsageWire | None = None


class EventWire(Struct, rename="camel"):
    """The payload of any event."""

    content_block_index: int = 0
    start: Block | None = None
    delta: Block | None = None
    stop_reason: str | None = None
    usage: UsageWire | None = None


ANSWER = msgspec.json.Decoder(AnswerWire)
EVENT = msgspec.json.Decoder(EventWire)


def chunk_of(wire: AnswerWire) -> Chunk:
    """A whole answer."""
    texts: list[str] = []
    thoughts: list[str] = []
    signed: list[ThinkingBlock] = []
    calls: list[ToolCall] = []
    for block in wire.output.message.content if wire.output.message else ():
        if block.text:
            texts.append(block.text)
        elif block.tool_use is not None:
            arguments = bytes(block.tool_use.input).decode() or "{}"
            function = FunctionCall(block.tool_use.name, arguments)
            calls.append(ToolCall(block.tool_use.tool_use_id, function, index=len(calls)))
        elif block.reasoning_content is not None:
            reasoning = block.reasoning_content
            if reasoning.redacted_content:
                signed.append(ThinkingBlock("redacted_thinking", data=reasoning.redacted_content))
            elif reasoning.reasoning_text is not None:
                said = reasoning.reasoning_text
                thoughts.append(said.text)
                if said.signature:
                    signed.append(ThinkingBlock("thinking", said.text, said.signature))
    return Chunk(
        text="".join(texts),
        reasoning="".join(thoughts),
        thinking_blocks=tuple(signed),
        tool_calls=tuple(calls),
        finish_reason=FINISHED.get(wire.stop_reason, "error"),
        usage=usage_of(wire.usage),
    )


class Reader:
    """Turns the events of one stream to chunks; calls are numbered in the order of their blocks."""

    def __init__(self) -> None:
        self.finished = False
        self.ended = False
        self._calls: dict[int, int] = {}
        self._silent: set[int] = set()

    def chunk(self, kind: str, wire: EventWire) -> Chunk | None:
        at = wire.content_block_index
        if kind == "contentBlockDelta" and wire.delta is not None:
            return self._delta(at, wire.delta)
        if kind == "contentBlockStart" and wire.start is not None and wire.start.tool_use is not None:
            call = wire.start.tool_use
            number = self._calls[at] = len(self._calls)
            self._silent.add(at)
            return Chunk(tool_calls=(ToolCall(call.tool_use_id, FunctionCall(call.name), index=number),))
        if kind == "contentBlockStop" and at in self._silent:
            self._silent.discard(at)
            return self._arguments(at, "{}")
        if kind == "messageStop":
            self.finished = True
            return Chunk(finish_reason=FINISHED.get(wire.stop_reason or "", "error"))
        if kind == "metadata":
            self.ended = self.finished
            usage = usage_of(wire.usage)
            return Chunk(usage=usage) if usage else None
        return None

    def _delta(self, at: int, delta: Block) -> Chunk | None:
        if delta.text:
            return Chunk(text=delta.text)
        if delta.tool_use is not None:
            piece = msgspec.json.decode(delta.tool_use.input, type=str) if bytes(delta.tool_use.input) else ""
            if not piece:
                return None
            self._silent.discard(at)
            return self._arguments(at, piece)
        reasoning = delta.reasoning_content
        if reasoning is None:
            return None
        if reasoning.redacted_content:
            return Chunk(thinking_blocks=(ThinkingBlock("redacted_thinking", data=reasoning.redacted_content),))
        if reasoning.signature:
            return Chunk(thinking_blocks=(ThinkingBlock("thinking", signature=reasoning.signature),))
        return Chunk(reasoning=reasoning.text) if reasoning.text else None

    def _arguments(self, at: int, piece: str) -> Chunk:
        call = ToolCall(function=FunctionCall(arguments=piece), index=self._calls.get(at, 0))
        return Chunk(tool_calls=(call,))


def usage_of(wire: UsageWire | None) -> Usage | None:
    """Usage in disjoint classes, as Bedrock counts it: `inputTokens` leaves out what was cached."""
    if wire is None or wire.input_tokens is None:
        return None
    output, cached, written = wire.output_tokens or 0, wire.cache_read_input_tokens, wire.cache_write_input_tokens
    if not believable(wire.input_tokens, output, cached, written):
        return None
    return Usage(
        input=wire.input_tokens,
        output=output,
        cached_input=cached,
        cache_write=written,
    )
