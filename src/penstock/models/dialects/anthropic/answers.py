"""Answers in the Anthropic dialect, written: chunks to events of a stream, or to one body.

A chunk that carries the provider's own bytes (`raw`) is written as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Citation, Exchange, FinishReason, ThinkingBlock, ToolCall, Usage
from penstock.models.dialects.collecting import closed_blocks, collected

ENCODER = msgspec.json.Encoder()
OBJECT = msgspec.json.Decoder(dict[str, Raw])
STOP_REASONS: dict[FinishReason | None, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}
TYPED = b'{"type":"'


class TypeOnly(Struct):
    type: str = ""


TYPE = msgspec.json.Decoder(TypeOnly)


class MessagesWriter:
    """Writes one answer: `event` for each chunk and `end` of a stream, or `whole` for all of them.

    Blocks of a stream follow each other: what comes of another kind closes the open one and begins the next.
    Only the first of several answers is written, for this dialect knows no more. `base_url` makes the addresses of
    citations absolute.
    """

    def __init__(self, exchange: Exchange, base_url: str = "") -> None:
        self._id = f"msg_{exchange.trace_id}"
        self._model = exchange.model
        self._base_url = base_url
        self._raw = False
        self._begun = False
        self._open = ""
        self._blocks = 0
        self._calls: dict[int, int] = {}
        self._cited: set[Citation] = set()
        self._usage = Usage(0)
        self._finish: FinishReason | None = None

    def event(self, chunk: Chunk) -> bytes:
        """The events of one chunk, framed for `text/event-stream`; empty where it has nothing to show."""
        if chunk.raw is not None:
            self._raw = True
            return framed(type_of(chunk.raw), chunk.raw)
        if self._raw:
            return b""
        return b"".join(framed(each["type"], ENCODER.encode(each)) for each in self._events(chunk))

    def end(self) -> bytes:
        """The end of a stream that went well; an upstream's own end was passed on."""
        if self._raw:
            return b""
        delta = {"stop_reason": STOP_REASONS.get(self._finish, "end_turn"), "stop_sequence": None}
        events = [*self._close(), {"type": "message_delta", "delta": delta, "usage": usage_wire(self._usage)}]
        events.append({"type": "message_stop"})
        return b"".join(framed(each["type"], ENCODER.encode(each)) for each in events)

    def failed(self, error: PenstockError, body: bytes) -> bytes:
        """The last event of a stream that broke; `body` is the error in this dialect."""
        return framed("error", body)

    def whole(self, chunks: Iterable[Chunk]) -> bytes:
        """The body of an answer that is not streamed."""
        total = collected(chunks)
        if total.raw is not None:
            return total.raw
        message = self._message(total.usage or Usage(0))
        message["content"] = list(self._content(total))
        message["stop_reason"] = STOP_REASONS.get(total.finish_reason, "end_turn")
        return ENCODER.encode(message)

    def _content(self, total: Chunk) -> Iterator[dict[str, Any]]:
        if total.thinking_blocks:
            yield from (thinking_wire(block) for block in closed_blocks([total]))
        elif total.reasoning:
            yield {"type": "thinking", "thinking": total.reasoning, "signature": ""}
        cited = total.grounding.citations if total.grounding else ()
        citations = [self._citation(each) for each in cited if each.answer_start is not None]
        if total.text:
            yield {"type": "text", "text": total.text, "citations": citations or None}
        for number, call in enumerate(total.tool_calls):
            yield self._tool_use(call, number) | {"input": input_of(call.function.arguments)}

    def _message(self, usage: Usage) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_wire(usage),
        }

    def _events(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not self._begun:
            self._begun = True
            yield {"type": "message_start", "message": self._message(self._usage)}
        if chunk.index != 0:
            return
        if chunk.reasoning or chunk.thinking_blocks:
            yield from self._thinking(chunk)
        if chunk.text:
            yield from self._into("text", {"type": "text", "text": ""})
            yield self._delta("text_delta", text=chunk.text)
        if chunk.grounding is not None and self._open == "text":
            yield from self._cite(chunk.grounding.citations)
        for piece in chunk.tool_calls:
            yield from self._call(piece)
        if chunk.finish_reason is not None:
            self._finish = chunk.finish_reason

    def _thinking(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        """Thoughts as they come, and the signature that closes their block; or whole blocks, if they come whole."""
        whole = self._open != "thinking" and any(block.thinking is not None for block in chunk.thinking_blocks)
        if chunk.reasoning and not whole:
            yield from self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta("thinking_delta", thinking=chunk.reasoning)
        for block in chunk.thinking_blocks:
            if block.type != "thinking":
                yield from self._into(block.type, thinking_wire(block))
            else:
                streamed = self._open == "thinking"
                yield from self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                if block.thinking and not streamed:
                    yield self._delta("thinking_delta", thinking=block.thinking)
                yield self._delta("signature_delta", signature=block.signature or "")
            yield from self._close()

    def _call(self, piece: ToolCall) -> Iterator[dict[str, Any]]:
        number = piece.index or 0
        if number not in self._calls:
            yield from self._into(f"call {number}", self._tool_use(piece, number) | {"input": {}})
            self._calls[number] = self._blocks
        if piece.function.arguments:
            delta = {"type": "input_json_delta", "partial_json": piece.function.arguments}
            yield {"type": "content_block_delta", "index": self._calls[number], "delta": delta}

    def _tool_use(self, call: ToolCall, number: int) -> dict[str, Any]:
        """A vendor that gives its calls no id gets one here, for the result is sent back under it."""
        return {"type": "tool_use", "id": call.id or f"toolu_{self._id[4:]}_{number}", "name": call.function.name}

    def _into(self, kind: str, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        yield {"type": "content_block_start", "index": self._blocks, "content_block": block}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open:
            self._open = ""
            yield {"type": "content_block_stop", "index": self._blocks}
            self._blocks += 1

    def _delta(self, kind: str, **field: Any) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._blocks, "delta": {"type": kind, **field}}

    def _cite(self, citations: Sequence[Citation]) -> Iterator[dict[str, Any]]:
        """Those that the answer uses, each once and as soon as it is known; the last chunk has all again."""
        for each in citations:
            if each.answer_start is not None and each not in self._cited:
                self._cited.add(each)
                yield self._delta("citations_delta", citation=self._citation(each))

    def _citation(self, citation: Citation) -> dict[str, Any]:
        """In the form that the official clients type."""
        return {
            "type": "search_result_location",
            "cited_text": citation.quote,
            "source": self._base_url + citation.url if citation.url.startswith("/") else citation.url,
            "title": citation.title,
            "search_result_index": citation.number - 1,
            "start_block_index": 0,
            "end_block_index": 1,
        }


def type_of(data: bytes) -> str:
    """The type of an event; almost always its first field."""
    if data.startswith(TYPED) and (end := data.find(b'"', len(TYPED))) > 0:
        return data[len(TYPED) : end].decode("utf-8", "replace")
    try:
        return TYPE.decode(data).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "message"


def framed(kind: str, data: bytes) -> bytes:
    """One event of a stream, named. Data of several lines is written as several, as the format wants."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def usage_wire(usage: Usage) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cached_input or 0,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning is not None:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return wire


def thinking_wire(block: ThinkingBlock) -> dict[str, Any]:
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data or ""}
    return {"type": "thinking", "thinking": block.thinking or "", "signature": block.signature or ""}


def input_of(arguments: str) -> Any:
    """The arguments of a call. A model may write what is no JSON object; clients get its words then."""
    data = arguments.encode() or b"{}"
    try:
        OBJECT.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": arguments}
    return Raw(data)


TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicErrorDetail(Struct, omit_defaults=True):
    """`code` and `param` are Penstock's own: what exactly went wrong, and in which field."""

    type: str
    message: str
    code: str | None = None
    param: str | None = None


class AnthropicError(Struct):
    """The body of every error."""

    error: AnthropicErrorDetail
    type: str = "error"


def error_body(error: PenstockError, status: int) -> bytes:
    """The body of an error that goes with an HTTP status."""
    kind = TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return ENCODER.encode(AnthropicError(AnthropicErrorDetail(kind, str(error), error.code, error.param)))
