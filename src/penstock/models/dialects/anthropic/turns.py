"""Turns of a conversation in the Anthropic dialect, read into neutral messages.

A turn of the user may hold results of tools, which are messages of their own in the neutral form; what stands
beside them follows. A turn of the model holds its thoughts, its words and its calls, in this order.
"""

from __future__ import annotations

import base64

from penstock.errors import InvalidRequest
from penstock.exchange import FileData, FunctionCall, ImageUrl, Message, Part, ThinkingBlock, ToolCall
from penstock.models.dialects.anthropic.bodies import Block, MessageBody, Source
from penstock.models.dialects.decoding import text_of

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
    """Adds the results of tools, then what else there is."""
    rest = []
    before = len(messages)
    for block in blocks:
        if block.type == "tool_result":
            messages.append(read_result(block))
        else:
            rest.append(part_of(block))
    if rest or before == len(messages):
        messages.append(Message(role, alone(rest) if before < len(messages) else rest))


def read_result(block: Block) -> Message:
    content = block.content
    if isinstance(content, list):
        return Message("tool", parts_of(content), None, None, block.tool_use_id, None, None, block.is_error or None)
    text = content if isinstance(content, str) else ""
    return Message("tool", text, None, None, block.tool_use_id, None, None, block.is_error or None)


def read_answer(blocks: list[Block]) -> Message:
    parts, calls, thoughts = [], [], []
    for block in blocks:
        if block.type == "tool_use":
            calls.append(ToolCall(block.id, FunctionCall(block.name or "", text_of(block.input) or "{}")))
        elif block.type in THINKING:
            thoughts.append(ThinkingBlock(block.type, block.thinking, block.signature, block.data))
        else:
            parts.append(part_of(block))
    return Message(
        "assistant",
        alone(parts) if parts else None,
        tool_calls=calls or None,
        reasoning_content="".join(each.thinking for each in thoughts if each.thinking) or None,
        thinking_blocks=thoughts or None,
    )


def alone(parts: list[Part]) -> str | list[Part] | None:
    """A single text without more to it as the string that it is."""
    if len(parts) == 1 and parts[0].type == "text" and parts[0].cache_control is None:
        return parts[0].text
    return parts


def parts_of(blocks: list[Block]) -> list[Part]:
    return [part_of(block) for block in blocks]


def part_of(block: Block) -> Part:
    """A block as a part. One that has no neutral form keeps its type, which `features.needed` names."""
    if block.type == "text":
        return Part("text", block.text or "", None, None, None, block.cache_control)
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
