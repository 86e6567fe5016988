"""The shape of a response and of the events of its stream, as they are written."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from penstock.exchange import TokenLogprob, Usage
from penstock.models.dialects.openai.answer_bodies import GroundingWire, TokenWire, chat_logprobs


class InputDetails(Struct):
    cached_tokens: int


class OutputDetails(Struct):
    reasoning_tokens: int


class UsageWire(Struct):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class UrlCitation(Struct, tag="url_citation"):
    start_index: int
    end_index: int
    url: str
    title: str


class OutputText(Struct, tag="output_text"):
    text: str
    annotations: list[UrlCitation]
    logprobs: list[TokenWire]


class SummaryText(Struct, tag="summary_text"):
    text: str


class MessageWire(Struct, tag="message"):
    id: str
    status: str
    content: list[OutputText]
    role: str = "assistant"


class CallWire(Struct, tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: str


class ReasoningWire(Struct, tag="reasoning", omit_defaults=True):
    id: str
    summary: list[SummaryText]
    encrypted_content: str | UnsetType = UNSET


ItemWire = MessageWire | CallWire | ReasoningWire


class ErrorWire(Struct):
    code: str
    message: str


class Incomplete(Struct):
    reason: str


class ResponseWire(Struct, kw_only=True):
    """A response. What only repeats the request comes as it was asked."""

    id: str
    object: str = "response"
    created_at: int
    status: str
    background: bool = False
    error: ErrorWire | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] = {}
    model: str
    output: list[ItemWire] = []
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    reasoning: dict[str, Any]
    store: bool
    temperature: float | None = None
    text: dict[str, Any]
    tool_choice: Any = "auto"
    tools: list[Any] = []
    top_logprobs: int = 0
    top_p: float | None = None
    truncation: str = "disabled"
    usage: UsageWire | None = None
    user: str | None = None
    penstock: GroundingWire | UnsetType = UNSET


class TextDelta(Struct, tag="response.output_text.delta"):
    """The one event that comes with every word."""

    sequence_number: int
    item_id: str
    output_index: int
    delta: str
    logprobs: list[TokenWire]
    content_index: int = 0


ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)


def usage_wire(usage: Usage) -> UsageWire:
    given, made = usage.prompt_tokens, usage.completion_tokens
    return UsageWire(
        given, InputDetails(usage.cached_input or 0), made, OutputDetails(usage.reasoning or 0), given + made
    )


def logprobs_wire(logprobs: tuple[TokenLogprob, ...]) -> list[TokenWire]:
    found = chat_logprobs(logprobs)
    return found.content if found else []
