"""Turns of a conversation in the Anthropic dialect, read into neutral messages.

A turn of the user may hold results of tools, which are messages of their own in the neutral form; what stands
beside them follows. A turn of the model holds its thoughts, its words and its calls, in this order.
"""

from __future__ import annotations

import base64

import msgspec

from penstock.errors import InvalidRequest
from penstock.exchange import FileData, FunctionCall, ImageUrl, Message, Part, ThinkingBlock, ToolCall
from penstock.models.dialects.anthropic.bodies import Block, MessageBody, Source
from penstock.models.dialects.decoding import decode

CONTENT = msgspec.json.Decoder(str | list[Block] | None)
TEXT = "text/plain"
THINKING = ("thinking", "redacted_thinking")


def read_turns(system: str | list[Block] | None, turns: list[MessageBody]) -> tuple[Message, ...]:
    """The system prompt, if there is one, and every turn. Raises `InvalidRequest`."""
    messages: list[Message] = []
    if system:
        messages.append(Message("system", system if isinstance(system, str) else parts_of(system)))
    for turn in turns:
        if isinstance(turn.content, str):
            messages.append(Message(turn.role, turn.content))
        elif turn.role == "assistant":
            messages.append(read_answer(turn.content))
        else:
            read_question(turn.role, turn.content, messages)
    return tuple(messages)


def read_question(role: str, blocks: list[Block], messages: list[Message]) -> None:
    results = [block for block in blocks if block.type == "tool_result"]
    if not results:
        messages.append(Message(role, parts_of(blocks)))
        return
    messages += [read_result(block) for block in results]
    rest = parts_of([block for block in blocks if block.type != "tool_result"])
    if len(rest) == 1 and rest[0].type == "text" and rest[0].cache_control is None:
        messages.append(Message(role, rest[0].text))
    elif rest:
        messages.append(Message(role, rest))


def read_result(block: Block) -> Message:
    content = decode(CONTENT, bytes(block.content)) if block.content else None
    return Message(
        "tool",
        parts_of(content) if isinstance(content, list) else content or "",
        tool_call_id=block.tool_use_id,
        is_error=block.is_error or None,
    )


def read_answer(blocks: list[Block]) -> Message:
    thoughts = [block for block in blocks if block.type in THINKING]
    calls = [block for block in blocks if block.type == "tool_use"]
    parts = parts_of([block for block in blocks if block.type not in (*THINKING, "tool_use")])
    plain = len(parts) == 1 and parts[0].type == "text" and parts[0].cache_control is None
    return Message(
        "assistant",
        (parts[0].text if plain else parts) if parts else None,
        tool_calls=[call_of(block) for block in calls] or None,
        reasoning_content="".join(block.thinking for block in thoughts if block.thinking) or None,
        thinking_blocks=[
            ThinkingBlock(block.type, block.thinking, block.signature, block.data) for block in thoughts
        ]
        or None,
    )


def call_of(block: Block) -> ToolCall:
    return ToolCall(block.id, FunctionCall(block.name or "", bytes(block.input).decode() or "{}"))


def parts_of(blocks: list[Block]) -> list[Part]:
    return [part_of(block) for block in blocks]


def part_of(block: Block) -> Part:
    """A block as a part. One that has no neutral form keeps its type, which `features.needed` names."""
    if block.type == "text":
        return Part("text", text=block.text or "", cache_control=block.cache_control)
    source = block.source
    if isinstance(source, Source):
        if block.type == "image" and (address := address_of(source)):
            return Part("image_url", image_url=ImageUrl(address), cache_control=block.cache_control)
        if block.type == "document" and (file := file_of(source, block.title)):
            return Part("file", file=file, cache_control=block.cache_control)
    return Part(block.type)


def address_of(source: Source) -> str | None:
    """A source's address, `data:` for its bytes."""
    if source.type == "base64":
        return f"data:{source.media_type or 'application/octet-stream'};base64,{source.data or ''}"
    return source.url if source.type == "url" else None


def file_of(source: Source, title: str | None) -> FileData | None:
    if source.type == "base64":
        return FileData(file_data=address_of(source), filename=title)
    if source.type == "url":
        return FileData(file_url=source.url, filename=title)
    if source.type == "text":
        data = base64.b64encode((source.data or "").encode()).decode()
        return FileData(file_data=f"data:{source.media_type or TEXT};base64,{data}", filename=title)
    return FileData(file_id=source.file_id, filename=title) if source.type == "file" else None


def data_of(address: str, param: str) -> tuple[str, str]:
    """Media type and base64 of a `data:` address. Raises `InvalidRequest`."""
    head, found, data = address.removeprefix("data:").partition(",")
    media_type, _, encoding = head.rpartition(";")
    if not found or encoding != "base64":
        raise InvalidRequest(
            f"{param!r} is not a base64 data address.", hint="Send data:MEDIA/TYPE;base64,DATA.", param=param
        )
    return media_type, data
