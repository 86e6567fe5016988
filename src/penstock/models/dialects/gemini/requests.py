"""Requests in the Gemini dialect, written from an exchange (https://ai.google.dev/api/generate-content)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from penstock.errors import InvalidRequest
from penstock.exchange import Exchange, Message, Parameters, Part, ThinkingBlock, Tool
from penstock.models.dialects.base import FOREIGN, unsupported
from penstock.models.dialects.calls import arguments_of
from penstock.models.dialects.media import Media, document, media_at, sound
from penstock.models.dialects.needs import ANY_OBJECT, require

FEATURES = frozenset(
    {
        "audio",
        "files",
        "files by address",
        "frequency_penalty",
        "images",
        "json_object",
        "logprobs",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)
"""What this dialect has words for (`dialects.needs`)."""

ENCODER = msgspec.json.Encoder()
OBJECT = msgspec.json.Decoder(dict[str, Raw])

BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
LEVELS = {"none": "minimal", "xhigh": "high", "max": "high"}
UNSIGNED = "skip_thought_signature_validator"
"""What Google documents for calls that come without the signature it made for them, because a client dropped it."""
OLDER = re.compile(r"gemini-(1|2)\b|gemma|learnlm")


def written(exchange: Exchange, model: str) -> bytes:
    """The body of generateContent. Raises `UnsupportedFeature`, `InvalidRequest`."""
    require(exchange, FEATURES, model)
    parameters = exchange.parameters
    system = [message.text for message in exchange.messages if message.role in ("system", "developer")]
    messages = exchange.messages or (Message("user", exchange.prompt),)
    fields: dict[str, Any] = {"contents": contents(messages, model)}
    if any(system):
        fields["systemInstruction"] = {"parts": [{"text": text} for text in system if text]}
    if parameters.tools:
        fields["tools"] = [{"functionDeclarations": [declaration(tool) for tool in offered(parameters)]}]
        if (config := calling(parameters)) is not None:
            fields["toolConfig"] = {"functionCallingConfig": config}
    if generation := generation_config(parameters, model):
        fields["generationConfig"] = generation
    return ENCODER.encode(fields)


def written_embed(exchange: Exchange, model: str) -> bytes:
    """The body of batchEmbedContents."""
    extra: dict[str, Any] = {}
    if (dimensions := exchange.options.get("dimensions")) is not None:
        extra["outputDimensionality"] = dimensions
    if kind := exchange.options.get("kind"):
        extra["taskType"] = "RETRIEVAL_QUERY" if kind == "query" else "RETRIEVAL_DOCUMENT"
    return ENCODER.encode(
        {
            "requests": [
                {"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **extra}
                for text in exchange.inputs
            ]
        }
    )


def contents(messages: Sequence[Message], model: str) -> list[dict[str, Any]]:
    """Turns by role; the results of calls that were made together stand in one turn."""
    found: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        if message.role == "assistant":
            for call in message.tool_calls or ():
                names[call.id or ""] = call.function.name
            if parts := spoken(message, model):
                found.append({"role": "model", "parts": parts})
        elif message.role == "tool":
            part = result(message, names)
            if found and "functionResponse" in found[-1]["parts"][0]:
                found[-1]["parts"].append(part)
            else:
                found.append({"role": "user", "parts": [part]})
        else:
            found.append({"role": "user", "parts": list(parts_of(message.content))})
    return found


def parts_of(content: str | list[Part] | None) -> Iterator[dict[str, Any]]:
    if content is None or isinstance(content, str):
        yield {"text": content or ""}
        return
    for part in content:
        if part.type == "text":
            yield {"text": part.text or ""}
        elif part.image_url is not None:
            yield placed(media_at(part.image_url.url))
        elif part.input_audio is not None:
            yield placed(sound(part.input_audio))
        elif part.file is not None:
            yield placed(document(part.file) or Media("", url=part.file.file_id or ""))
        else:
            raise unsupported("Gemini", f"{part.type!r} parts")


def placed(media: Media) -> dict[str, Any]:
    if media.url:
        file = {"fileUri": media.url}
        return {"fileData": {"mimeType": media.type} | file if media.type else file}
    return {"inlineData": {"mimeType": media.type, "data": media.data}}


def spoken(message: Message, model: str) -> list[dict[str, Any]]:
    """What the model said before, with its own signature of what it thought, where the caller kept it."""
    text = message.text
    calls = message.tool_calls or ()
    parts: list[dict[str, Any]] = [{"text": text}] if text else []
    for call in calls:
        function: dict[str, Any] = {
            "name": call.function.name,
            "args": arguments_of(call),
        }
        if call.id:
            function["id"] = call.id
        parts.append({"functionCall": function})
    signature = signature_of(message.thinking_blocks)
    if calls:  # of the calls that were made together the first is signed
        signature = signature or ("" if OLDER.search(model) else UNSIGNED)
        first = parts[-len(calls)]
    elif parts:
        first = parts[-1]
    if signature and parts:
        first["thoughtSignature"] = signature
    return parts


def signature_of(blocks: Iterable[ThinkingBlock] | None) -> str:
    for block in blocks or ():
        if block.signature and block.signature.startswith(FOREIGN):
            return block.signature.removeprefix(FOREIGN)
    return ""


def result(message: Message, names: dict[str, str]) -> dict[str, Any]:
    """The result of a call, which Gemini wants as an object and with the name of the function."""
    identity = message.tool_call_id or ""
    name = message.name or names.get(identity)
    if name is None:
        raise InvalidRequest(
            f"No call before it has the id {identity!r} that a message of role 'tool' answers.",
            hint="Send the assistant's message with its tool_calls as well.",
            param="messages",
        )
    text = message.text
    if message.is_error:
        response: Any = {"error": text}
    else:
        try:
            OBJECT.decode(text)
            response = Raw(text.encode())
        except (msgspec.DecodeError, RecursionError):
            response = {"result": text}
    function: dict[str, Any] = {"name": name, "response": response}
    if identity:
        function["id"] = identity
    return {"functionResponse": function}


def offered(parameters: Parameters) -> list[Tool]:
    """The tools that may be called. Only a forced call can be narrowed, so the others are left out."""
    allowed = parameters.allowed_tools
    return [tool for tool in parameters.tools if not allowed or tool.name in allowed]


def declaration(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name, "description": tool.description or ""}
    found["parametersJsonSchema"] = Raw(tool.parameters.encode())
    return found


def calling(parameters: Parameters) -> dict[str, Any] | None:
    choice = parameters.tool_choice
    if choice is None or choice == "auto":
        return {"mode": "VALIDATED"} if any(tool.strict for tool in parameters.tools) else None
    if choice == "none":
        return {"mode": "NONE"}
    if choice == "required":
        return {"mode": "ANY"}
    return {"mode": "ANY", "allowedFunctionNames": [choice.removeprefix("tool:")]}


def generation_config(parameters: Parameters, model: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "maxOutputTokens": parameters.max_tokens,
        "temperature": parameters.temperature,
        "topP": parameters.top_p,
        "topK": parameters.top_k,
        "seed": parameters.seed,
        "stopSequences": parameters.stop or None,
        "candidateCount": parameters.n if parameters.n > 1 else None,
        "presencePenalty": parameters.presence_penalty,
        "frequencyPenalty": parameters.frequency_penalty,
        "responseLogprobs": parameters.logprobs or None,
        "logprobs": parameters.top_logprobs if parameters.logprobs else None,
        "thinkingConfig": thinking(parameters, model),
    }
    constraint = parameters.constraint
    if constraint is not None:
        found["responseMimeType"] = "application/json"
        if constraint.source != ANY_OBJECT:
            found["responseJsonSchema"] = Raw(constraint.source.encode())
    return {name: value for name, value in found.items() if value is not None}


def thinking(parameters: Parameters, model: str) -> dict[str, Any] | None:
    """Gemini 2.5 is told a number of tokens, later ones a level."""
    effort, tokens = parameters.reasoning_effort, parameters.reasoning_tokens
    if effort is None and tokens is None:
        return None
    if tokens is None and not OLDER.search(model):
        assert effort is not None
        return {"includeThoughts": effort != "none", "thinkingLevel": LEVELS.get(effort, effort)}
    budget = tokens if tokens is not None else BUDGETS.get(effort or "", 8192)
    return {"includeThoughts": budget != 0, "thinkingBudget": budget}
