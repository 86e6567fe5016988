"""One answer put together from chunks: the items of a response, and the events that tell of each on its way.

The ids of a response and its items follow from the trace, so that what is stored, streamed and answered whole is
the same, whoever puts it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Citation, Exchange, FinishReason, Grounding, ThinkingBlock, Usage
from penstock.models.dialects.collecting import closed_blocks
from penstock.models.dialects.openai.answer_bodies import GroundingWire, TokenWire
from penstock.models.dialects.responses.answer_bodies import (
    ECHOED,
    CallWire,
    ErrorWire,
    Incomplete,
    ItemWire,
    MessageWire,
    OutputText,
    ReasoningWire,
    ResponseWire,
    SummaryText,
    TextDelta,
    UrlCitation,
    logprobs_wire,
    usage_wire,
)
from penstock.models.dialects.responses.items import sealed
from penstock.models.dialects.responses.requests import asked

ENCODER = msgspec.json.Encoder()
INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
Status = Literal["in_progress", "completed", "incomplete", "failed"]


class Piece:
    """An item that still grows. `place` is its index in the output."""

    __slots__ = ("annotations", "item", "logprobs", "place", "texts", "thoughts")

    def __init__(self, place: int, item: ItemWire) -> None:
        self.place = place
        self.item = item
        self.texts: list[str] = []
        self.annotations: list[UrlCitation] = []
        self.logprobs: list[TokenWire] = []
        self.thoughts: list[Chunk] = []


class Assembly:
    """Takes the chunks of one answer. `base_url` makes the addresses of citations absolute."""

    def __init__(self, exchange: Exchange, base_url: str = "", *, events: bool = False) -> None:
        self._exchange = exchange
        self._asked = asked(exchange)
        self._base_url = base_url
        self._wants_events = events
        self._events: list[bytes] = []
        self._sequence = 0
        self._pieces: list[Piece] = []
        self._open: Piece | None = None
        self._calls: dict[int, Piece] = {}
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None
        self._grounding: Grounding | None = None
        self._cited: set[Citation] = set()
        self._begun = False

    def take(self, chunk: Chunk) -> None:
        """One more chunk; of several answers only the first is told of, for this API has no others."""
        if chunk.grounding is not None and chunk.grounding.stage != "partial":
            self._grounding = chunk.grounding
        if not self._begun:
            self._begun = True
            self._tell("response.created", {"response": self._response("in_progress")})
            self._tell("response.in_progress", {"response": self._response("in_progress")})
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.index:
            return
        if chunk.reasoning or chunk.thinking_blocks:
            self._think(chunk)
        if chunk.text or chunk.logprobs:
            self._speak(chunk)
        if chunk.grounding is not None:
            self._cite(chunk.grounding.citations)
        for call in chunk.tool_calls:
            self._call(call.index or 0, call.id, call.function.name, call.function.arguments)
        if chunk.finish_reason is not None:
            self._finish = chunk.finish_reason

    def finished(self) -> ResponseWire:
        """The response, once all chunks were taken."""
        reason = INCOMPLETE.get(self._finish) if self._finish else None
        status: Status = "incomplete" if reason else "completed"
        if self._finish == "error":
            status = "failed"
        self._close_all("incomplete" if reason else "completed")
        response = self._response(status)
        if reason:
            response.incomplete_details = Incomplete(reason)
        if status == "failed":
            response.error = ErrorWire("server_error", "The model gave up.")
        if self._usage is not None:
            response.usage = usage_wire(self._usage)
        self._tell(f"response.{status}", {"response": response})
        return response

    def failed(self, error: PenstockError) -> ResponseWire:
        """The response of an answer that broke off, with what there was of it."""
        for piece in self._pieces:
            self._fill(piece, "incomplete")
        response = self._response("failed")
        response.error = ErrorWire(error.code, str(error))
        if self._usage is not None:
            response.usage = usage_wire(self._usage)
        self._tell("response.failed", {"response": response})
        return response

    def events(self) -> bytes:
        """The events since the last call, framed for `text/event-stream`."""
        events, self._events = self._events, []
        return b"".join(events)

    def _think(self, chunk: Chunk) -> None:
        piece = self._open
        if piece is None or not isinstance(piece.item, ReasoningWire):
            piece = self._add(ReasoningWire(self._id("rs"), []))
            self._tell("response.reasoning_summary_part.added", summary_place(piece) | {"part": SummaryText("")})
        piece.thoughts.append(chunk)
        if chunk.reasoning:
            piece.texts.append(chunk.reasoning)
            self._tell("response.reasoning_summary_text.delta", summary_place(piece) | {"delta": chunk.reasoning})

    def _speak(self, chunk: Chunk) -> None:
        piece = self._open
        if piece is None or not isinstance(piece.item, MessageWire):
            piece = self._add(MessageWire(self._id("msg"), "in_progress", []))
            self._tell("response.content_part.added", part_place(piece) | {"part": OutputText("", [], [])})
        logprobs = logprobs_wire(chunk.logprobs)
        piece.texts.append(chunk.text)
        piece.logprobs += logprobs
        if self._wants_events:
            event = TextDelta(self._sequence, piece.item.id, piece.place, chunk.text, logprobs)
            self._sequence += 1
            self._events.append(b"event: response.output_text.delta\ndata: " + ENCODER.encode(event) + b"\n\n")

    def _cite(self, citations: Sequence[Citation]) -> None:
        """Those that the answer uses, each once and as soon as it is known; the last chunk has all again."""
        piece = self._open
        if piece is None or not isinstance(piece.item, MessageWire):
            return
        for each in citations:
            if each.answer_start is None or each.answer_end is None or each in self._cited:
                continue
            self._cited.add(each)
            annotation = UrlCitation(each.answer_start, each.answer_end, self._absolute(each).url, each.title)
            what = {"annotation_index": len(piece.annotations), "annotation": annotation}
            piece.annotations.append(annotation)
            self._tell("response.output_text.annotation.added", part_place(piece) | what)

    def _call(self, index: int, call_id: str | None, name: str, arguments: str) -> None:
        piece = self._calls.get(index)
        if piece is None:
            self._close_open("completed")
            number = self._id("fc")
            item = CallWire(number, call_id or f"call_{number}", name, "", "in_progress")
            piece = self._calls[index] = self._put(item)
        if arguments:
            piece.texts.append(arguments)
            self._tell("response.function_call_arguments.delta", item_place(piece) | {"delta": arguments})

    def _add(self, item: ItemWire) -> Piece:
        self._close_open("completed")
        self._open = self._put(item)
        return self._open

    def _put(self, item: ItemWire) -> Piece:
        piece = Piece(len(self._pieces), item)
        self._pieces.append(piece)
        self._tell("response.output_item.added", {"output_index": piece.place, "item": item})
        return piece

    def _close_open(self, status: Status) -> None:
        piece, self._open = self._open, None
        if piece is not None:
            self._close(piece, status)

    def _close_all(self, status: Status) -> None:
        if not self._pieces:
            self._speak(Chunk())
        self._close_open(status)
        for piece in self._calls.values():
            self._close(piece, status)

    def _close(self, piece: Piece, status: Status) -> None:
        self._fill(piece, status)
        item = piece.item
        if isinstance(item, ReasoningWire):
            summary = item.summary[0] if item.summary else SummaryText("")
            place = summary_place(piece)
            self._tell("response.reasoning_summary_text.done", place | {"text": summary.text})
            self._tell("response.reasoning_summary_part.done", place | {"part": summary})
        elif isinstance(item, MessageWire):
            self._close_text(piece, item.content[0])
        else:
            what = {"name": item.name, "arguments": item.arguments}
            self._tell("response.function_call_arguments.done", item_place(piece) | what)
        self._tell("response.output_item.done", {"output_index": piece.place, "item": item})

    def _close_text(self, piece: Piece, part: OutputText) -> None:
        place = part_place(piece)
        self._tell("response.output_text.done", place | {"text": part.text, "logprobs": part.logprobs})
        self._tell("response.content_part.done", place | {"part": part})

    def _fill(self, piece: Piece, status: Status) -> None:
        """Gives an item what came for it."""
        item, text = piece.item, "".join(piece.texts)
        if isinstance(item, ReasoningWire):
            item.summary = [SummaryText(text)] if text else []
            blocks: list[ThinkingBlock] = list(closed_blocks(piece.thoughts))
            if blocks:
                item.encrypted_content = sealed(blocks)
            return
        item.status = status
        if isinstance(item, MessageWire):
            item.content = [OutputText(text, piece.annotations, piece.logprobs)]
        else:
            item.arguments = text

    def _absolute(self, citation: Citation) -> Citation:
        if not citation.url.startswith("/"):
            return citation
        return msgspec.structs.replace(citation, url=self._base_url + citation.url)

    def _response(self, status: Status) -> ResponseWire:
        exchange, what = self._exchange, self._asked
        fields = what.fields
        text = {"format": {"type": "text"}} | (fields.get("text") or {})
        reasoning = {"effort": None, "summary": None} | (fields.get("reasoning") or {})
        response = ResponseWire(
            id=response_id(exchange),
            created_at=what.created,
            status=status,
            model=exchange.model,
            output=[piece.item for piece in self._pieces] if status != "in_progress" else [],
            reasoning=reasoning,
            store=what.store,
            text=text,
            **{name: fields[name] for name in ECHOED if fields.get(name) is not None},
        )
        if self._grounding is not None:
            response.penstock = self._grounding_wire(self._grounding)
        return response

    def _grounding_wire(self, grounding: Grounding) -> GroundingWire:
        citations = [self._absolute(citation) for citation in grounding.citations]
        return GroundingWire.of(grounding, citations, self._exchange.trace_id, self._exchange.release_id)

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._exchange.trace_id}_{len(self._pieces)}"

    def _tell(self, kind: str, fields: dict[str, Any]) -> None:
        if self._wants_events:
            event = {"type": kind, "sequence_number": self._sequence, **fields}
            self._sequence += 1
            self._events.append(framed(kind.encode(), ENCODER.encode(event)))


def item_place(piece: Piece) -> dict[str, Any]:
    return {"item_id": piece.item.id, "output_index": piece.place}


def part_place(piece: Piece) -> dict[str, Any]:
    return {"item_id": piece.item.id, "output_index": piece.place, "content_index": 0}


def summary_place(piece: Piece) -> dict[str, Any]:
    return {"item_id": piece.item.id, "output_index": piece.place, "summary_index": 0}


def response_id(exchange: Exchange) -> str:
    return f"resp_{exchange.trace_id}"


def framed(kind: bytes, data: bytes) -> bytes:
    """One event of a stream, under its name."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"event: " + kind + b"\ndata: " + data + b"\n\n"
