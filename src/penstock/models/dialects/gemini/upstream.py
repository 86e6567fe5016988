"""Answers in the Gemini dialect, read. Each event of a stream is a whole answer that holds the next piece."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from penstock.exchange import Chunk, FinishReason, FunctionCall, ThinkingBlock, TokenLogprob, ToolCall, Usage
from penstock.ids import new_id
from penstock.models.dialects.base import FOREIGN
from penstock.models.dialects.counts import believable

FINISHED: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""Any other reason says that what came is broken, such as a call that is no JSON."""


class Call(Struct, rename="camel"):
    name: str = ""
    args: Raw = Raw(b"{}")
    id: str | None = None


class PartWire(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None


class Content(Struct, rename="camel"):
    parts: list[PartWire] | None = None


class LogprobWire(Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class TopWire(Struct, rename="camel"):
    candidates: list[LogprobWire] = []


class LogprobsWire(Struct, rename="camel"):
    chosen_candidates: list[LogprobWire] = []
    top_candidates: list[TopWire] = []


class Candidate(Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs_result: LogprobsWire | None = None


class Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class UsageWire(Struct, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class AnswerWire(Struct, rename="camel"):
    candidates: list[Candidate] = []
    prompt_feedback: Feedback | None = None
    usage_metadata: UsageWire | None = None
    error: Raw = Raw()


class Vector(Struct):
    values: list[float] = []


class EmbeddingsWire(Struct, rename="camel"):
    embeddings: list[Vector]
    usage_metadata: UsageWire | None = None


ANSWER = msgspec.json.Decoder(AnswerWire)
EMBEDDINGS = msgspec.json.Decoder(EmbeddingsWire)


class Reader:
    """Turns answers of one exchange to chunks. It counts calls, for Gemini does not number them.

    `usage` is the last that was said: every event of a stream repeats it, so chunks carry it when it changed.
    """

    def __init__(self) -> None:
        self.finished = False
        self._calls: dict[int, int] = {}
        self._usage: Usage | None = None

    def chunks(self, wire: AnswerWire) -> list[Chunk]:
        found = [self._chunk(each) for each in wire.candidates]
        feedback = wire.prompt_feedback
        if not found and feedback is not None and feedback.block_reason:
            found.append(Chunk(finish_reason="content_filter"))
        self.finished = self.finished or any(chunk.finish_reason for chunk in found)
        usage = usage_of(wire.usage_metadata)
        if usage is not None and usage != self._usage:
            self._usage = usage
            found[:1] = [msgspec.structs.replace(found[0], usage=usage) if found else Chunk(usage=usage)]
        return found

    def _chunk(self, candidate: Candidate) -> Chunk:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCall] = []
        signatures: list[ThinkingBlock] = []
        for part in (candidate.content.parts if candidate.content else None) or ():
            if part.function_call is not None:
                calls.append(self._call(part.function_call, candidate.index))
            elif part.text:
                (thoughts if part.thought else texts).append(part.text)
            if part.thought_signature:
                signatures.append(ThinkingBlock("thinking", signature=FOREIGN + part.thought_signature))
        reason: FinishReason | None = None
        if candidate.finish_reason is not None:
            reason = FINISHED.get(candidate.finish_reason, "error")
            if reason == "stop" and self._calls.get(candidate.index):
                reason = "tool_calls"
        return Chunk(
            text="".join(texts),
            index=candidate.index,
            reasoning="".join(thoughts),
            tool_calls=tuple(calls),
            thinking_blocks=tuple(signatures),
            finish_reason=reason,
            logprobs=logprobs_of(candidate.logprobs_result),
        )

    def _call(self, call: Call, candidate: int) -> ToolCall:
        number = self._calls.get(candidate, 0)
        self._calls[candidate] = number + 1
        arguments = bytes(call.args).decode()
        return ToolCall(call.id or new_id("call"), FunctionCall(call.name, arguments), index=number)


def usage_of(wire: UsageWire | None) -> Usage | None:
    """Usage in disjoint classes: Gemini counts what was cached in the prompt, but thoughts beside the answer."""
    if wire is None or wire.prompt_token_count is None:
        return None
    cached, output = wire.cached_content_token_count, wire.candidates_token_count or 0
    prompt = wire.prompt_token_count + (wire.tool_use_prompt_token_count or 0)
    if not believable(prompt, cached, output, wire.thoughts_token_count):
        return None
    return Usage(
        input=max(0, prompt - (cached or 0)),
        output=output,
        cached_input=cached,
        reasoning=wire.thoughts_token_count,
    )


def logprobs_of(wire: LogprobsWire | None) -> tuple[TokenLogprob, ...]:
    if wire is None:
        return ()
    tops: list[Any] = [
        [(each.token, each.log_probability) for each in top.candidates] for top in wire.top_candidates
    ]
    tops += [()] * (len(wire.chosen_candidates) - len(tops))
    return tuple(
        TokenLogprob(chosen.token, chosen.log_probability, tuple(top))
        for chosen, top in zip(wire.chosen_candidates, tops, strict=False)
    )


def vectors_of(wire: EmbeddingsWire) -> Chunk:
    return Chunk(
        embeddings=tuple(np.asarray(each.values, "<f4").tobytes() for each in wire.embeddings),
        usage=usage_of(wire.usage_metadata),
    )
