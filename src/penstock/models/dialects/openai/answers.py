"""Answers in the OpenAI dialect, written: chunks to events of a stream, or to one body.

A chunk that carries the provider's own bytes (`raw`) is written as it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Citation, Exchange, Grounding, ThinkingBlock, Usage
from penstock.models.dialects.collecting import closed_blocks, collected
from penstock.models.dialects.openai.answer_bodies import (
    Annotation,
    AnswerWire,
    ChatChoice,
    CompletionChoice,
    Delta,
    EmbeddingsWire,
    EmbeddingWire,
    GroundingWire,
    Message,
    StreamChoice,
    UrlCitation,
    chat_logprobs,
    completion_logprobs,
    encoded,
    numbers,
    tool_call_pieces,
    tool_call_wires,
    usage_wire,
)

ENCODER = msgspec.json.Encoder()
DONE = b"data: [DONE]\n\n"


class Heading(Struct, frozen=True, kw_only=True):
    """What every piece of one answer says of itself. `base_url` makes the addresses of citations absolute."""

    id: str
    created: int
    model: str
    trace_id: str
    release: str
    base_url: str = ""


def heading(exchange: Exchange, created: int, base_url: str) -> Heading:
    prefix = "cmpl" if exchange.operation == "complete" else "chatcmpl"
    return Heading(
        id=f"{prefix}-{exchange.trace_id}",
        created=created,
        model=exchange.model,
        trace_id=exchange.trace_id,
        release=exchange.release_id,
        base_url=base_url,
    )


class Writer:
    """Writes one answer: `event` for each chunk and `end` of a stream, or `whole` for all of them."""

    stream_object: str
    whole_object: str

    def __init__(self, heading: Heading, *, wants_usage: bool) -> None:
        self._heading = heading
        self._wants_usage = wants_usage
        self._usage: Usage | None = None
        self._raw = False

    def event(self, chunk: Chunk) -> bytes:
        """The events of one chunk, framed for `text/event-stream`; empty where it has nothing to show."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.raw is not None:
            self._raw = True
            return framed(chunk.raw)
        if self._raw:
            return b""  # it says what is known beside the bytes, such as usage that only we asked for
        return b"".join(framed(ENCODER.encode(each)) for each in self._events(chunk))

    def end(self) -> bytes:
        """The end of a stream that went well."""
        if self._wants_usage and not self._raw and self._usage is not None:
            usage = self._answer(self.stream_object, [])
            usage.usage = usage_wire(self._usage)
            return framed(ENCODER.encode(usage)) + DONE
        return DONE

    def whole(self, chunks: Iterable[Chunk]) -> bytes:
        """The body of an answer that is not streamed."""
        total = collected(chunks)
        if total.raw is not None:
            return total.raw
        answer = self._answer(self.whole_object, [self._choice(each) for each in (total, *total.others)])
        answer.usage = usage_wire(total.usage) if total.usage else None
        if total.grounding is not None:
            answer.penstock = self._grounding(total.grounding)
        return ENCODER.encode(answer)

    def failed(self, error: PenstockError, body: bytes) -> bytes:
        """The last event of a stream that broke."""
        return framed(body)

    def _events(self, chunk: Chunk) -> Iterable[AnswerWire]:
        raise NotImplementedError

    def _choice(self, total: Chunk) -> Any:
        raise NotImplementedError

    def _answer(self, object: str, choices: list[Any]) -> AnswerWire:
        heading = self._heading
        return AnswerWire(
            id=heading.id, object=object, created=heading.created, model=heading.model, choices=choices
        )

    def _piece(self, choice: Any) -> AnswerWire:
        answer = self._answer(self.stream_object, [choice])
        if self._wants_usage:
            answer.usage = None
        return answer

    def _grounding(self, grounding: Grounding) -> GroundingWire:
        citations = [self._absolute(citation) for citation in grounding.citations]
        return GroundingWire.of(grounding, citations, self._heading.trace_id, self._heading.release)

    def _absolute(self, citation: Citation) -> Citation:
        if not citation.url.startswith("/"):
            return citation
        return msgspec.structs.replace(citation, url=self._heading.base_url + citation.url)

    def _annotations(self, grounding: Grounding) -> list[Annotation]:
        """The citations that the answer uses, in the form that the official clients type."""
        return [
            Annotation(UrlCitation(self._absolute(each).url, each.title, each.answer_start, each.answer_end))
            for each in grounding.citations
            if each.answer_start is not None and each.answer_end is not None
        ]


class ChatWriter(Writer):
    stream_object = "chat.completion.chunk"
    whole_object = "chat.completion"

    def __init__(self, heading: Heading, *, wants_usage: bool) -> None:
        super().__init__(heading, wants_usage=wants_usage)
        self._begun: set[int] = set()
        self._thought: dict[int, list[Chunk]] = {}

    def _events(self, chunk: Chunk) -> Iterable[AnswerWire]:
        if not chunk.others:
            return self._choice_events(chunk)
        return [event for each in (chunk, *chunk.others) for event in self._choice_events(each)]

    def _choice_events(self, chunk: Chunk) -> Iterable[AnswerWire]:
        grounding, index = chunk.grounding, chunk.index
        if index not in self._begun:
            self._begun.add(index)
            first = self._piece(StreamChoice(index, Delta(role="assistant", content=""), None, None))
            if grounding is not None and grounding.stage == "evidence":
                first.penstock = self._grounding(grounding)
            yield first
        if chunk.reasoning or chunk.thinking_blocks:
            yield self._piece(StreamChoice(index, self._thinking(chunk), None, None))
        partial = grounding is not None and grounding.stage == "partial"
        if chunk.text or chunk.logprobs or partial:
            said = self._piece(StreamChoice(index, Delta(content=chunk.text), chat_logprobs(chunk.logprobs), None))
            if grounding is not None and partial:
                said.penstock = self._grounding(grounding)
            yield said
        if chunk.tool_calls:
            delta = Delta(tool_calls=tool_call_pieces(chunk.tool_calls))
            yield self._piece(StreamChoice(index, delta, None, None))
        if chunk.finish_reason is not None:
            last = self._piece(StreamChoice(index, Delta(), None, chunk.finish_reason))
            if grounding is not None:
                last.choices[0].delta = Delta(content="", annotations=self._annotations(grounding))
                last.penstock = self._grounding(grounding)
            yield last

    def _thinking(self, chunk: Chunk) -> Delta:
        """What was thought; a block that is closed comes with all of its text, for it goes back as a whole."""
        thought = self._thought.setdefault(chunk.index, [])
        thought.append(chunk)
        delta = Delta(reasoning_content=chunk.reasoning or UNSET)
        if chunk.thinking_blocks:
            delta.thinking_blocks = list[ThinkingBlock](closed_blocks(thought))
            thought.clear()
        return delta

    def _choice(self, total: Chunk) -> ChatChoice:
        message = Message(role="assistant", content=total.text, refusal=None)
        if total.reasoning:
            message.reasoning_content = total.reasoning
        if total.thinking_blocks:
            message.thinking_blocks = list(closed_blocks([total]))
        if total.tool_calls:
            message.content = total.text or None
            message.tool_calls = tool_call_wires(total.tool_calls)
        if total.grounding is not None:
            message.annotations = self._annotations(total.grounding)
        return ChatChoice(total.index, message, chat_logprobs(total.logprobs), total.finish_reason)


class CompletionWriter(Writer):
    stream_object = "text_completion"
    whole_object = "text_completion"

    def __init__(self, heading: Heading, *, wants_usage: bool) -> None:
        super().__init__(heading, wants_usage=wants_usage)
        self._lengths: dict[int, int] = {}

    def _events(self, chunk: Chunk) -> Iterable[AnswerWire]:
        for each in (chunk, *chunk.others):
            if each.text or each.logprobs or each.finish_reason is not None:
                yield self._piece(self._choice(each))

    def _choice(self, total: Chunk) -> CompletionChoice:
        offset = self._lengths.get(total.index, 0)
        self._lengths[total.index] = offset + len(total.text)
        logprobs = completion_logprobs(total.logprobs, offset)
        return CompletionChoice(total.index, total.text, logprobs, total.finish_reason)


class EmbeddingsWriter:
    """Writes the answer to an `embed`, vectors as numbers or as base64 of little-endian float32."""

    def __init__(self, exchange: Exchange) -> None:
        self._model = exchange.model
        self._write = encoded if exchange.options.get("encoding_format") == "base64" else numbers

    def event(self, chunk: Chunk) -> bytes:
        return framed(self.whole([chunk]))

    def end(self) -> bytes:
        return DONE

    def failed(self, error: PenstockError, body: bytes) -> bytes:
        return framed(body)

    def whole(self, chunks: Iterable[Chunk]) -> bytes:
        total = collected(chunks)
        if total.raw is not None:
            return total.raw
        tokens = total.usage.prompt_tokens if total.usage else 0
        data = [EmbeddingWire(index, self._write(vector)) for index, vector in enumerate(total.embeddings)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return ENCODER.encode(EmbeddingsWire(data, self._model, usage))


def framed(data: bytes) -> bytes:
    """One event of a stream. Data of several lines is written as several, as the format wants."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: " + data + b"\n\n"
