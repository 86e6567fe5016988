"""The shape of requests to /v1/responses: what is read of them. The rest stays in the body."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class TextFormat(Struct):
    """`type` "text", "json_object" or "json_schema"."""

    type: str
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class TextBody(Struct):
    format: TextFormat | None = None
    verbosity: str | None = None


class ReasoningBody(Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class ToolBody(Struct):
    """`type` "function", or one of the tools that only OpenAI's own models have."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChoiceTool(Struct):
    type: str
    name: str | None = None


class ToolChoice(Struct):
    """`type` "function" with a `name`, "allowed_tools" with a `mode` and `tools`, or one that is not read here."""

    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[ChoiceTool] | None = None


class ResponseBody(Struct):
    """`input` is a text, or items: messages, calls of functions, what they gave, and reasoning."""

    input: str | list[dict[str, Any]] | None = None
    model: str = ""
    instructions: str | None = None
    tools: list[ToolBody] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextBody | None = None
    reasoning: ReasoningBody | None = None
    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Share | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None


class Content(Struct):
    """A part of a message: `type` "input_text", "output_text", "input_image", "input_file", "refusal" …"""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class MessageItem(Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]


class CallItem(Struct):
    call_id: str
    name: str
    arguments: str


class OutputItem(Struct):
    call_id: str
    output: str | list[Content]


class Thought(Struct):
    text: str = ""


class ReasoningItem(Struct):
    """`encrypted_content` is the provider's own form of it, to be given back."""

    summary: list[Thought] = []
    content: list[Thought] | None = None
    encrypted_content: str | None = None
