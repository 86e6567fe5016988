"""The neutral form of a request in the words of the Anthropic dialect."""

from __future__ import annotations

import base64
import string
from collections.abc import Sequence
from typing import Any

from msgspec import Raw, Struct

from penstock.errors import InvalidRequest
from penstock.exchange import CacheControl, Exchange, Message, Parameters, Part, Tool
from penstock.models.dialects.anthropic.answers import thinking_wire
from penstock.models.dialects.anthropic.turns import TEXT, data_of
from penstock.models.dialects.calls import arguments_of

FEATURES = frozenset(
    {
        "files",
        "files by address",
        "images",
        "images in tool results",
        "files in tool results",
        "reasoning_effort",
        "response_format",
        "stop",
        "temperature",
        "tools",
        "top_k",
        "top_p",
    }
)
"""What this dialect has words for (`dialects.needs`)."""

SYSTEM = ("system", "developer")
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
"""Tokens for an effort, where a model takes only a budget."""

LEAST_BUDGET = 1024
EFFORTS = {"minimal": "low"}
ID_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_-")


class Wording(Struct, frozen=True, kw_only=True):
    """How a model wants a request put.

    `max_tokens` is the longest answer where the caller set none, for this API demands one. `adaptive` says that the
    model decides by an effort how much to think; others take a budget of tokens.
    """

    max_tokens: int = 8192
    adaptive: bool = True


def fields_of(exchange: Exchange, wording: Wording) -> dict[str, Any]:
    """The fields of a message but its model and whether to stream it. Raises `InvalidRequest`."""
    parameters = exchange.parameters
    fields: dict[str, Any] = {"max_tokens": parameters.max_tokens or wording.max_tokens}
    instructions = [message for message in exchange.messages if message.role in SYSTEM]
    if instructions:
        fields["system"] = system_of(instructions)
    fields["messages"] = turns_of(exchange.messages)
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(parameters, name)) is not None:
            fields[name] = value
    if parameters.stop:
        fields["stop_sequences"] = parameters.stop
    if parameters.tools:
        fields["tools"] = [tool_wire(tool) for tool in allowed(parameters)]
        if (choice := tool_choice_wire(parameters)) is not None:
            fields["tool_choice"] = choice
    if exchange.user is not None:
        fields["metadata"] = {"user_id": exchange.user}
    put_reasoning(fields, parameters, wording)
    if parameters.constraint is not None:
        schema = Raw(parameters.constraint.source.encode())
        fields.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    return fields


def put_reasoning(fields: dict[str, Any], parameters: Parameters, wording: Wording) -> None:
    """Adds how much to think. A budget must leave room for an answer within `max_tokens`."""
    effort, tokens = parameters.reasoning_effort, parameters.reasoning_tokens
    if effort == "none":
        fields["thinking"] = {"type": "disabled"}
        return
    if effort is not None and wording.adaptive:
        fields["output_config"] = {"effort": EFFORTS.get(effort, effort)}
        if tokens is None:
            fields["thinking"] = {"type": "adaptive"}
    elif effort is not None and tokens is None:
        wanted = BUDGETS.get(effort, BUDGETS["medium"])
        if parameters.max_tokens is None:
            fields["max_tokens"] += wanted
        tokens = min(wanted, fields["max_tokens"] - 1)
        if tokens < LEAST_BUDGET:
            return
    if tokens is not None:
        if parameters.max_tokens is None and tokens >= fields["max_tokens"]:
            fields["max_tokens"] += tokens
        fields["thinking"] = {"type": "enabled", "budget_tokens": tokens}


def system_of(messages: list[Message]) -> str | list[dict[str, Any]]:
    if len(messages) == 1 and isinstance(messages[0].content, str):
        return messages[0].content
    return [block for message in messages for block in blocks_of(message.content, "system")]


def turns_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns, the results of tools joined with what the user said after them. Raises `InvalidRequest`."""
    turns: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None
    for at, message in enumerate(messages):
        if message.role in SYSTEM:
            continue
        if message.role == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            results.append(result_wire(message, f"messages[{at}]"))
        elif message.role == "assistant":
            turns.append({"role": "assistant", "content": answer_wire(message, f"messages[{at}]")})
            results = None
        elif results is not None:
            results += blocks_of(message.content, f"messages[{at}]")
            results = None
        elif isinstance(message.content, list):
            turns.append({"role": "user", "content": blocks_of(message.content, f"messages[{at}]")})
        else:
            turns.append({"role": "user", "content": message.content or ""})
    return turns


def result_wire(message: Message, param: str) -> dict[str, Any]:
    content = message.content
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": safe_id(message.tool_call_id),
        "content": blocks_of(content, param) if isinstance(content, list) else content or "",
    }
    if message.is_error:
        result["is_error"] = True
    return result


def answer_wire(message: Message, param: str) -> str | list[dict[str, Any]]:
    """Thoughts that are signed, words and calls; thoughts without a signature are not taken back by this API."""
    thoughts = [block for block in message.thinking_blocks or () if block.signature or block.data]
    if not thoughts and not message.tool_calls and not isinstance(message.content, list):
        return message.content or ""
    blocks = [thinking_wire(block) for block in thoughts]
    blocks += blocks_of(message.content, param)
    blocks += [
        {"type": "tool_use", "id": safe_id(call.id), "name": call.function.name, "input": arguments_of(call)}
        for call in message.tool_calls or ()
    ]
    return blocks


def blocks_of(content: str | list[Part] | None, param: str) -> list[dict[str, Any]]:
    """The blocks of a content. Texts that are empty are left out, for this API refuses them."""
    if not content:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [
        block_of(part, f"{param}.content[{at}]")
        for at, part in enumerate(content)
        if part.type != "text" or part.text
    ]


def block_of(part: Part, param: str) -> dict[str, Any]:
    """Raises `InvalidRequest`."""
    block: dict[str, Any]
    if part.image_url is not None:
        block = {"type": "image", "source": source_of(part.image_url.url, param)}
    elif part.file is not None:
        block = {"type": "document", "source": document_source(part, param)}
        if part.file.filename is not None:
            block["title"] = part.file.filename
    else:
        block = {"type": "text", "text": part.text or ""}
    return block | cached(part.cache_control)


def source_of(address: str, param: str) -> dict[str, str]:
    if not address.startswith("data:"):
        return {"type": "url", "url": address}
    media_type, data = data_of(address, param)
    return {"type": "base64", "media_type": media_type, "data": data}


def document_source(part: Part, param: str) -> dict[str, str]:
    file = part.file
    assert file is not None
    if file.file_id is not None:
        return {"type": "file", "file_id": file.file_id}
    if file.file_url is not None:
        return {"type": "url", "url": file.file_url}
    address = file.file_data or ""
    source = source_of(address if address.startswith("data:") else f"data:application/pdf;base64,{address}", param)
    if source.get("media_type") != TEXT:
        return source
    try:
        return {"type": "text", "media_type": TEXT, "data": base64.b64decode(source["data"]).decode()}
    except ValueError:
        raise InvalidRequest(f"{param!r} is declared as text and is not UTF-8.", param=param) from None


def safe_id(id: str | None) -> str:
    """An id of a call with only the characters that this API takes; the same for the call and for its result."""
    if id is None or ID_CHARACTERS.issuperset(id):
        return id or ""
    return "".join(each if each in ID_CHARACTERS else "_" for each in id)


def cached(control: CacheControl | None) -> dict[str, Any]:
    if control is None:
        return {}
    return {"cache_control": {"type": control.type} | ({"ttl": control.ttl} if control.ttl else {})}


def allowed(parameters: Parameters) -> list[Tool]:
    """The tools that may be called: this API has no other way to leave one out."""
    names = parameters.allowed_tools
    return [tool for tool in parameters.tools if not names or tool.name in names]


def tool_wire(tool: Tool) -> dict[str, Any]:
    schema = b'{"type":"object"}' if tool.parameters == "{}" else tool.parameters.encode()
    wire: dict[str, Any] = {"name": tool.name, "input_schema": Raw(schema)}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.strict is not None:
        wire["strict"] = tool.strict
    return wire | cached(tool.cache_control)


def tool_choice_wire(parameters: Parameters) -> dict[str, Any] | None:
    choice, parallel = parameters.tool_choice, parameters.parallel_tool_calls
    if choice is None and parallel is None:
        return None
    kind = CHOICES.get(choice or "auto", "tool")
    wire: dict[str, Any] = {"type": kind}
    if kind == "tool":
        wire["name"] = (choice or "").removeprefix("tool:")
    if parallel is not None and kind != "none":
        wire["disable_parallel_tool_use"] = not parallel
    return wire
