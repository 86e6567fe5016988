"""The shape of requests in the OpenAI dialect: what is read of them. The rest stays in the body."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from penstock.exchange import CacheControl, Message

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]


class StreamOptions(Struct):
    include_usage: bool | None = None


class JsonSchema(Struct):
    schema: Raw = msgspec.field(default_factory=Raw)
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """`type` "text", "json_object", "json_schema" or, for local models, "regex"."""

    type: str
    json_schema: JsonSchema | None = None
    regex: str | None = None


class Function(Struct):
    name: str
    description: str | None = None
    parameters: Raw = msgspec.field(default_factory=Raw)
    strict: bool | None = None


class ToolBody(Struct):
    """`type` "function", or one that is not read here."""

    type: str = "function"
    function: Function | None = None
    cache_control: CacheControl | None = None


class Named(Struct):
    name: str


class AllowedTool(Struct):
    function: Named | None = None


class AllowedTools(Struct):
    mode: str
    tools: list[AllowedTool]


class ToolChoice(Struct):
    """`type` "function" or "allowed_tools", or one that is not read here."""

    type: str
    function: Named | None = None
    allowed_tools: AllowedTools | None = None


class Thinking(Struct):
    """Anthropic's bound on reasoning, which clients of other gateways send in this dialect, too."""

    type: str
    budget_tokens: int | None = None


class GenerationBody(Struct, kw_only=True):
    """What chats and completions say alike."""

    model: str = ""
    max_tokens: Positive | None = None
    temperature: AtLeastZero | None = None
    top_p: Share | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Positive | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


class ChatBody(GenerationBody, kw_only=True):
    messages: tuple[Message, ...]
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[ToolBody] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    thinking: Thinking | None = None


class CompletionBody(GenerationBody, kw_only=True):
    prompt: str | list[Any]
    logprobs: int | None = None


class EmbeddingBody(Struct):
    input: str | list[Any]
    model: str = ""
    encoding_format: str | None = None
    dimensions: Positive | None = None
    user: str | None = None
