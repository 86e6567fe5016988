"""Items of the Responses API, and the chat messages that say the same.

A model's turn is several items here (reasoning, a message, calls of functions) and one message there.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import InvalidRequest
from penstock.exchange import FileData, FunctionCall, ImageUrl, Message, Part, ThinkingBlock, ToolCall
from penstock.models.dialects.decoding import explain
from penstock.models.dialects.responses.bodies import CallItem, Content, MessageItem, OutputItem, ReasoningItem

S = TypeVar("S", bound=Struct)
Item = dict[str, Any]

KINDS: dict[str, type[Struct]] = {
    "message": MessageItem,
    "function_call": CallItem,
    "function_call_output": OutputItem,
    "reasoning": ReasoningItem,
}
TEXTS = ("input_text", "output_text", "text")
SEALED = "penstock."
"""Stands before reasoning that another provider signed, where this API has its own encrypted form."""

BLOCKS = msgspec.json.Decoder(list[ThinkingBlock])


def kind_of(item: Item) -> str:
    """The type of an item; messages may leave it out."""
    kind = item.get("type")
    return kind if isinstance(kind, str) else "message" if "role" in item else ""


def items_of(given: str | Sequence[Item]) -> tuple[Item, ...]:
    """The input as items."""
    if isinstance(given, str):
        return ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]},)
    return tuple(given)


def messages_of(items: Iterable[Item]) -> list[Message]:
    """The messages that say what the items say. Raises `InvalidRequest` for one that is malformed.

    Items of other kinds are left to `features.unsaid`.
    """
    turns = Turns()
    for place, item in enumerate(items):
        kind = KINDS.get(kind_of(item))
        if kind is not None:
            turns.add(typed(item, kind, f"input[{place}]"))
        elif not kind_of(item):
            path = f"input[{place}].type"
            raise InvalidRequest(f"{path!r} is missing.", hint="Say what the item is, or its role.", param=path)
    return turns.messages()


class Turns:
    """Puts items together to messages: what the model did in one turn stands in one."""

    def __init__(self) -> None:
        self._done: list[Message] = []
        self._own: Message | None = None

    def add(self, item: Struct) -> None:
        if isinstance(item, ReasoningItem):
            self._think(item)
        elif isinstance(item, CallItem):
            call = ToolCall(item.call_id, FunctionCall(item.name, item.arguments))
            own = self._turn()
            self._own = replace(own, tool_calls=[*(own.tool_calls or ()), call])
        elif isinstance(item, OutputItem):
            self._close()
            content = content_of(item.output)
            self._done.append(Message("tool", content, tool_call_id=item.call_id))
        elif isinstance(item, MessageItem) and item.role == "assistant":
            if self._own is not None and (self._own.content is not None or self._own.tool_calls):
                self._close()
            self._own = replace(self._turn(), content=content_of(item.content))
        elif isinstance(item, MessageItem):
            self._close()
            self._done.append(Message(item.role, content_of(item.content)))

    def messages(self) -> list[Message]:
        self._close()
        return self._done

    def _think(self, item: ReasoningItem) -> None:
        if self._own is not None and (self._own.content is not None or self._own.tool_calls):
            self._close()
        own = self._turn()
        text = "\n".join(each.text for each in item.content or item.summary)
        blocks = opened(item.encrypted_content)
        if text:
            own = replace(
                own, reasoning_content=f"{own.reasoning_content}\n{text}" if own.reasoning_content else text
            )
        if blocks:
            own = replace(own, thinking_blocks=[*(own.thinking_blocks or ()), *blocks])
        self._own = own

    def _turn(self) -> Message:
        return self._own or Message("assistant")

    def _close(self) -> None:
        """A turn that only thought says nothing."""
        own, self._own = self._own, None
        if own is not None and (own.content is not None or own.tool_calls or own.thinking_blocks):
            self._done.append(own)


def content_of(content: str | list[Content]) -> str | list[Part]:
    """Text as a string, anything else as parts. What has no neutral form is left to `features.unsaid`."""
    if isinstance(content, str):
        return content
    parts = [part for each in content if (part := part_of(each)) is not None]
    if len(parts) == 1 and parts[0].type == "text":
        return parts[0].text or ""
    return parts


def part_of(content: Content) -> Part | None:
    if content.type in TEXTS:
        return Part("text", text=content.text or "")
    if content.type == "refusal":
        return Part("text", text=content.refusal or "")
    if content.type == "input_image" and content.image_url is not None:
        return Part("image_url", image_url=ImageUrl(content.image_url, content.detail))
    if content.type == "input_file":
        file = FileData(content.file_data, content.file_url, content.file_id, content.filename)
        return Part("file", file=file)
    return None


def typed(item: Item, kind: type[S], path: str) -> S:
    """An item as a value of its kind. Raises `InvalidRequest` that names the place of what is wrong."""
    try:
        return msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        text = text.replace("at `$", f"at `$.{path}", 1) if "at `$" in text else f"{text} - at `$.{path}`"
        raise explain(msgspec.ValidationError(text)) from None


def sealed(blocks: Sequence[ThinkingBlock]) -> str:
    """Signed reasoning as a text that the caller gives back without reading it."""
    return SEALED + base64.b64encode(msgspec.json.encode(blocks)).decode()


def opened(content: str | None) -> list[ThinkingBlock]:
    """What `sealed` closed; nothing for what another provider encrypted."""
    if content is not None and content.startswith(SEALED):
        with contextlib.suppress(msgspec.DecodeError, binascii.Error, ValueError):
            return BLOCKS.decode(base64.b64decode(content.removeprefix(SEALED), validate=True))
    return []
