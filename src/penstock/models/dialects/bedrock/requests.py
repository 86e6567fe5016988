"""Requests in the dialect of Bedrock's Converse, written from an exchange.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from penstock.exchange import Constraint, Exchange, Message, Parameters, Part, ThinkingBlock, Tool
from penstock.models.dialects.base import FOREIGN, unsupported
from penstock.models.dialects.calls import arguments_of
from penstock.models.dialects.media import Media, document, media_at, sound
from penstock.models.dialects.needs import require

ENCODER = msgspec.json.Encoder()

FEATURES = frozenset(
    {
        "audio",
        "files",
        "files in tool results",
        "images",
        "images in tool results",
        "reasoning_effort",
        "response_format",
        "stop",
        "temperature",
        "tools",
        "top_k",
        "top_p",
    }
)
"""What this dialect has words for (`dialects.needs`); not every model does each of them."""

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
LEAST_BUDGET = 1024
"""Tokens that Claude must be given to think, if any."""
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z\s\-()\[\]]+")


def written(exchange: Exchange, model: str) -> bytes:
    """The body of Converse and ConverseStream. Raises `UnsupportedFeature`."""
    require(exchange, FEATURES, model)
    parameters = exchange.parameters
    messages = exchange.messages or (Message("user", exchange.prompt),)
    fields: dict[str, Any] = {"messages": turns(messages)}
    system = [message.text for message in messages if message.role in ("system", "developer")]
    if any(system):
        fields["system"] = [{"text": text} for text in system if text]
    inference = {
        "maxTokens": parameters.max_tokens,
        "temperature": parameters.temperature,
        "topP": parameters.top_p,
        "stopSequences": parameters.stop or None,
    }
    if inference := {name: value for name, value in inference.items() if value is not None}:
        fields["inferenceConfig"] = inference
    if tools := tool_config(parameters):
        fields["toolConfig"] = tools
    if extra := additional(parameters, model):
        fields["additionalModelRequestFields"] = extra
    if parameters.constraint is not None:
        fields["outputConfig"] = {"textFormat": format_of(parameters.constraint)}
    return ENCODER.encode(fields)


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns that alternate between user and assistant, as Converse wants them; results of calls are the user's."""
    found: list[dict[str, Any]] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(blocks_of(message))
        if not blocks:
            continue
        if found and found[-1]["role"] == role:
            found[-1]["content"].extend(blocks)
        else:
            found.append({"role": role, "content": blocks})
    return found


def blocks_of(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        content = list(parts_of(message.content)) or [{"text": " "}]
        found: dict[str, Any] = {"toolUseId": message.tool_call_id or "", "content": content}
        if message.is_error:
            found["status"] = "error"
        yield {"toolResult": found}
        return
    yield from thought(message.thinking_blocks)
    yield from parts_of(message.content)
    for call in message.tool_calls or ():
        said = {"toolUseId": call.id or "", "name": call.function.name, "input": arguments_of(call)}
        yield {"toolUse": said}


def thought(blocks: Iterable[ThinkingBlock] | None) -> Iterator[dict[str, Any]]:
    for block in blocks or ():
        if block.data:
            yield {"reasoningContent": {"redactedContent": block.data}}
        elif block.signature and not block.signature.startswith(FOREIGN):
            text = {"text": block.thinking or "", "signature": block.signature}
            yield {"reasoningContent": {"reasoningText": text}}


def parts_of(content: str | list[Part] | None) -> Iterator[dict[str, Any]]:
    """Blocks of a content; those without text are left out, for Converse refuses them."""
    for part in [Part("text", content)] if content is None or isinstance(content, str) else content:
        if part.type == "text":
            if part.text and not part.text.isspace():
                yield {"text": part.text}
        elif part.image_url is not None:
            yield {"image": inside(media_at(part.image_url.url), IMAGES, "images")}
        elif part.input_audio is not None:
            media = sound(part.input_audio)
            yield {"audio": inside(media, {media.type: part.input_audio.format}, "sounds")}
        elif part.file is not None:
            found = inside(document(part.file) or Media("", url="?"), DOCUMENTS, "documents")
            name = NOT_IN_A_NAME.sub(" ", part.file.filename or "document").strip()
            yield {"document": {"name": name or "document"} | found}
        else:
            raise unsupported("Bedrock", f"{part.type!r} parts")
        if part.cache_control is not None:
            yield {"cachePoint": cache_point(part.cache_control.ttl)}


def cache_point(ttl: str | None) -> dict[str, str]:
    return {"type": "default", "ttl": ttl} if ttl else {"type": "default"}


def inside(media: Media, formats: dict[str, str], what: str) -> dict[str, Any]:
    """A medium whose bytes are in the request: Bedrock fetches nothing from the web."""
    if media.url:
        raise unsupported("Bedrock", f"{what} by their address", "Send the bytes as a data: address.", "messages")
    if media.type not in formats:
        raise unsupported("Bedrock", f"{what} of type {media.type!r}", f"Send {', '.join(formats)}.", "messages")
    return {"format": formats[media.type], "source": {"bytes": media.data}}


def tool_config(parameters: Parameters) -> dict[str, Any] | None:
    tools = [
        tool for tool in parameters.tools if not parameters.allowed_tools or tool.name in parameters.allowed_tools
    ]
    choice = parameters.tool_choice
    if not tools or choice == "none":  # there is no word for "none": without tools none can be called
        return None
    specifications: list[dict[str, Any]] = []
    for tool in tools:
        specifications.append({"toolSpec": specification(tool)})
        if tool.cache_control is not None:
            specifications.append({"cachePoint": cache_point(tool.cache_control.ttl)})
    found: dict[str, Any] = {"tools": specifications}
    if choice == "required":
        found["toolChoice"] = {"any": {}}
    elif choice is not None and choice != "auto":
        found["toolChoice"] = {"tool": {"name": choice.removeprefix("tool:")}}
    return found


def specification(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": Raw(tool.parameters.encode())}}
    if tool.description:
        found["description"] = tool.description
    if tool.strict:
        found["strict"] = True
    return found


def format_of(constraint: Constraint) -> dict[str, Any]:
    schema: dict[str, Any] = {"schema": constraint.source, "name": constraint.name or "answer"}
    if constraint.description:
        schema["description"] = constraint.description
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}


def additional(parameters: Parameters, model: str) -> dict[str, Any]:
    """Parameters that each family of models calls by another name."""
    found: dict[str, Any] = {}
    if parameters.top_k is not None:
        if "anthropic." in model:
            found["top_k"] = parameters.top_k
        elif "amazon.nova" in model:
            found["inferenceConfig"] = {"topK": parameters.top_k}
        else:
            raise unsupported(model, "top_k", param="top_k")
    effort, tokens = parameters.reasoning_effort, parameters.reasoning_tokens
    if effort in (None, "none") and not tokens:
        return found
    if "anthropic." in model:
        budget = tokens or BUDGETS.get(effort or "", 8192)
        if parameters.max_tokens is not None:
            budget = min(budget, parameters.max_tokens - 1)
        if budget < LEAST_BUDGET:
            raise unsupported(
                model,
                f"{budget} tokens of reasoning",
                f"Leave at least {LEAST_BUDGET}, and raise max_tokens over it.",
            )
        found["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif "amazon.nova" in model and effort in ("low", "medium", "high"):
        found["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
    elif "openai." in model and effort:
        found["reasoning_effort"] = effort
    else:
        raise unsupported(model, "reasoning", param="reasoning_effort")
    return found
