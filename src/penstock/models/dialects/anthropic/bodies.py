"""The shape of requests in the Anthropic dialect: what is read of them. The rest stays in the body."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from penstock.exchange import CacheControl

AtLeastZero = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Bound = Annotated[int, Meta(ge=0)]


def raw() -> Raw:
    return Raw()


class Source(Struct):
    """Where an image or a document comes from: `type` "base64", "url", "text" or "file"."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


class Citations(Struct):
    enabled: bool | None = None


class Block(Struct):
    """One block of content; `type` says which of the fields it has."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    title: str | None = None
    citations: Citations | list[Raw] | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = msgspec.field(default_factory=raw)
    tool_use_id: str | None = None
    content: str | list[Block] | dict[str, Raw] | None = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: CacheControl | None = None


class MessageBody(Struct):
    role: str
    content: str | list[Block]


class Metadata(Struct):
    user_id: str | None = None


class ToolBody(Struct):
    """A tool of the caller, or, with a `type` other than "custom", one of the provider's own."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = msgspec.field(default_factory=raw)
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoice(Struct):
    """`type` "auto", "any", "tool" or "none"."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct):
    """`type` "enabled" (with a budget), "adaptive" or "disabled"."""

    type: str
    budget_tokens: int | None = None


class Format(Struct):
    type: str
    schema: Raw = msgspec.field(default_factory=raw)


class OutputConfig(Struct):
    effort: str | None = None
    format: Format | None = None


class MessagesBody(Struct):
    messages: list[MessageBody]
    model: str = ""
    max_tokens: Bound | None = None
    system: str | list[Block] | None = None
    metadata: Metadata | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: AtLeastZero | None = None
    top_p: Share | None = None
    top_k: int | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
