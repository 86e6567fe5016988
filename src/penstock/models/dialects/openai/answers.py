"""Answers in the OpenAI dialect, written: chunks to events of a stream, or to one body.

A chunk that carries the provider's own bytes (`raw`) is written as it came.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Citation, Exchange, Grounding, TokenLogprob, Usage

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


class PromptDetails(Struct):
    cached_tokens: int | None


class CompletionDetails(Struct):
    reasoning_tokens: int


class UsageWire(Struct, omit_defaults=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | UnsetType = UNSET
    completion_tokens_details: CompletionDetails | UnsetType = UNSET


class UrlCitation(Struct):
    url: str
    title: str
    start_index: int
    end_index: int


class Annotation(Struct):
    url_citation: UrlCitation
    type: Literal["url_citation"] = "url_citation"


class GroundingWire(Struct, kw_only=True):
    stage: Literal["evidence", "answer"]
    mode: Literal["quote", "compose"]
    answered: bool
    score: float
    knowledge: str
    generation: int
    citations: list[Citation]
    unsupported: tuple[tuple[int, int], ...]
    trace_id: str
    release: str


class TokenWire(Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[Any] = []


class ChatLogprobs(Struct):
    content: list[TokenWire]


class CompletionLogprobs(Struct):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: None = None
    text_offset: list[int] = []


class Delta(Struct, omit_defaults=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET


class Message(Struct, omit_defaults=True):
    role: str | UnsetType
    content: str | UnsetType
    refusal: UnsetType | None = UNSET
    annotations: list[Annotation] | UnsetType = UNSET


class StreamChoice(Struct):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: str | None


class ChatChoice(Struct):
    index: int
    message: Message
    logprobs: ChatLogprobs | None
    finish_reason: str | None


class CompletionChoice(Struct):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: str | None


class AnswerWire(Struct, kw_only=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[Any]
    usage: UsageWire | UnsetType | None = UNSET
    penstock: GroundingWire | UnsetType = UNSET


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
        answer = self._answer(self.whole_object, [self._choice(total)])
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
        return GroundingWire(
            stage=grounding.stage,
            mode=grounding.mode,
            answered=grounding.answered,
            score=grounding.score,
            knowledge=grounding.knowledge,
            generation=grounding.generation,
            citations=[self._absolute(citation) for citation in grounding.citations],
            unsupported=grounding.unsupported,
            trace_id=self._heading.trace_id,
            release=self._heading.release,
        )

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
        self._begun = False

    def _events(self, chunk: Chunk) -> Iterable[AnswerWire]:
        grounding = chunk.grounding
        if not self._begun:
            self._begun = True
            first = self._piece(StreamChoice(0, Delta(role="assistant", content=""), None, None))
            if grounding is not None and grounding.stage == "evidence":
                first.penstock = self._grounding(grounding)
            yield first
        if chunk.text or chunk.logprobs:
            yield self._piece(StreamChoice(0, Delta(content=chunk.text), chat_logprobs(chunk.logprobs), None))
        if chunk.finish_reason is not None:
            last = self._piece(StreamChoice(0, Delta(), None, chunk.finish_reason))
            if grounding is not None:
                last.choices[0].delta = Delta(content="", annotations=self._annotations(grounding))
                last.penstock = self._grounding(grounding)
            yield last

    def _choice(self, total: Chunk) -> ChatChoice:
        message = Message(role="assistant", content=total.text, refusal=None)
        if total.grounding is not None:
            message.annotations = self._annotations(total.grounding)
        return ChatChoice(0, message, chat_logprobs(total.logprobs), total.finish_reason)


class CompletionWriter(Writer):
    stream_object = "text_completion"
    whole_object = "text_completion"

    def _events(self, chunk: Chunk) -> Iterable[AnswerWire]:
        if chunk.text or chunk.logprobs or chunk.finish_reason is not None:
            yield self._piece(self._choice(chunk))

    def _choice(self, total: Chunk) -> CompletionChoice:
        return CompletionChoice(0, total.text, completion_logprobs(total.logprobs), total.finish_reason)


class EmbeddingWire(Struct):
    index: int
    embedding: Any
    object: str = "embedding"


class EmbeddingsWire(Struct):
    data: list[EmbeddingWire]
    model: str
    usage: dict[str, int]
    object: str = "list"


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


def encoded(vector: bytes) -> str | list[float]:
    return base64.b64encode(vector).decode()


def numbers(vector: bytes) -> str | list[float]:
    values: list[float] = np.frombuffer(vector, "<f4").tolist()
    return values


def framed(data: bytes) -> bytes:
    """One event of a stream. Data of several lines is written as several, as the format wants."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: " + data + b"\n\n"


def collected(chunks: Iterable[Chunk]) -> Chunk:
    """All chunks of an answer as one. Of the two groundings the last one counts."""
    chunks = list(chunks)
    if len(chunks) == 1:
        return chunks[0]
    last: dict[str, Any] = {}
    for chunk in chunks:
        for name in ("finish_reason", "usage", "grounding", "raw"):
            if (value := getattr(chunk, name)) is not None:
                last[name] = value
    return Chunk(
        text="".join(chunk.text for chunk in chunks),
        logprobs=tuple(each for chunk in chunks for each in chunk.logprobs),
        embeddings=tuple(each for chunk in chunks for each in chunk.embeddings),
        **last,
    )


def usage_wire(usage: Usage) -> UsageWire:
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    wire = UsageWire(prompt, completion, prompt + completion, PromptDetails(usage.cached_input))
    if usage.reasoning is not None:
        wire.completion_tokens_details = CompletionDetails(usage.reasoning)
    return wire


def chat_logprobs(logprobs: tuple[TokenLogprob, ...]) -> ChatLogprobs | None:
    if not logprobs:
        return None
    return ChatLogprobs([TokenWire(each.token, each.logprob, list(each.token.encode())) for each in logprobs])


def completion_logprobs(logprobs: tuple[TokenLogprob, ...]) -> CompletionLogprobs | None:
    if not logprobs:
        return None
    offsets: list[int] = []
    offset = 0
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    return CompletionLogprobs([each.token for each in logprobs], [each.logprob for each in logprobs], None, offsets)
