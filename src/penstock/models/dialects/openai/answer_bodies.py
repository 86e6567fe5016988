"""The shape of answers in the OpenAI dialect, as they are written."""

from __future__ import annotations

import base64
from typing import Any, Literal

import numpy as np
from msgspec import UNSET, Struct, UnsetType

from penstock.exchange import (
    AnswerMode,
    Citation,
    Conflict,
    Grounding,
    ThinkingBlock,
    TokenLogprob,
    ToolCall,
    Usage,
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
    stage: Literal["evidence", "partial", "answer"]
    mode: AnswerMode
    answered: bool
    score: float
    knowledge: str
    generation: int
    citations: list[Citation]
    unsupported: tuple[tuple[int, int], ...]
    conflicts: tuple[Conflict, ...]
    grounded: float | None
    trace_id: str
    release: str

    @classmethod
    def of(cls, grounding: Grounding, citations: list[Citation], trace_id: str, release: str) -> GroundingWire:
        """`citations` are the grounding's with whole addresses."""
        return cls(
            stage=grounding.stage,
            mode=grounding.mode,
            answered=grounding.answered,
            score=grounding.score,
            knowledge=grounding.knowledge,
            generation=grounding.generation,
            citations=citations,
            unsupported=grounding.unsupported,
            conflicts=grounding.conflicts,
            grounded=grounding.grounded,
            trace_id=trace_id,
            release=release,
        )


class TopWire(Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenWire(Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopWire] = []


class ChatLogprobs(Struct):
    content: list[TokenWire]


class CompletionLogprobs(Struct):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class FunctionWire(Struct, omit_defaults=True):
    arguments: str
    name: str | UnsetType = UNSET


class ToolCallWire(Struct, omit_defaults=True):
    """A call, or, with its `index`, a piece of one: only the first piece has an id and a name."""

    function: FunctionWire
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET


class Delta(Struct, omit_defaults=True):
    """`reasoning_content` is what most vendors call a model's thoughts, `thinking_blocks` the same signed."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    thinking_blocks: list[ThinkingBlock] | UnsetType = UNSET
    tool_calls: list[ToolCallWire] | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET


class Message(Struct, omit_defaults=True):
    role: str | UnsetType
    content: str | UnsetType | None
    refusal: UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    thinking_blocks: list[ThinkingBlock] | UnsetType = UNSET
    tool_calls: list[ToolCallWire] | UnsetType = UNSET
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


class EmbeddingWire(Struct):
    index: int
    embedding: Any
    object: str = "embedding"


class EmbeddingsWire(Struct):
    data: list[EmbeddingWire]
    model: str
    usage: dict[str, int]
    object: str = "list"


def usage_wire(usage: Usage) -> UsageWire:
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    wire = UsageWire(prompt, completion, prompt + completion, PromptDetails(usage.cached_input))
    if usage.reasoning is not None:
        wire.completion_tokens_details = CompletionDetails(usage.reasoning)
    return wire


def tool_call_wires(calls: tuple[ToolCall, ...]) -> list[ToolCallWire]:
    """Whole calls, as a body lists them."""
    return [
        ToolCallWire(FunctionWire(call.function.arguments, call.function.name), UNSET, call.id or UNSET, "function")
        for call in calls
    ]


def tool_call_pieces(calls: tuple[ToolCall, ...]) -> list[ToolCallWire]:
    """Pieces of calls, as the events of a stream carry them."""
    return [
        ToolCallWire(
            FunctionWire(call.function.arguments, call.function.name or UNSET),
            call.index or 0,
            call.id or UNSET,
            UNSET if call.id is None else "function",
        )
        for call in calls
    ]


def chat_logprobs(logprobs: tuple[TokenLogprob, ...]) -> ChatLogprobs | None:
    if not logprobs:
        return None
    return ChatLogprobs(
        [
            TokenWire(
                each.token,
                each.logprob,
                list(each.token.encode()),
                [TopWire(token, score, list(token.encode())) for token, score in each.top],
            )
            for each in logprobs
        ]
    )


def completion_logprobs(logprobs: tuple[TokenLogprob, ...], offset: int = 0) -> CompletionLogprobs | None:
    """`offset` is where in the text of the answer the first token stands, in characters."""
    if not logprobs:
        return None
    offsets: list[int] = []
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    return CompletionLogprobs(
        tokens=[each.token for each in logprobs],
        token_logprobs=[each.logprob for each in logprobs],
        top_logprobs=[dict(each.top) for each in logprobs] if any(each.top for each in logprobs) else None,
        text_offset=offsets,
    )


def encoded(vector: bytes) -> str | list[float]:
    return base64.b64encode(vector).decode()


def numbers(vector: bytes) -> str | list[float]:
    values: list[float] = np.frombuffer(vector, "<f4").tolist()
    return values
