"""The neutral form of a request in the words of the OpenAI dialect."""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from penstock.errors import UnsupportedFeature
from penstock.exchange import Constraint, Exchange, Message, Parameters, Part, Tool
from penstock.models.dialects.needs import NEUTRAL

ANY_OBJECT = Constraint("json_schema", '{"type":"object"}')
FORCED = "tool:"
"""Stands before the name of a tool in `Parameters.tool_choice`."""

EFFORTS = ((1024, "low"), (8192, "medium"))
"""Reasoning tokens up to which an effort is the nearest; more is "high"."""

FEATURES = NEUTRAL - {"ebnf", "files by address", "files in tool results", "images in tool results", "regex"}
"""What this dialect has words for (`dialects.needs`)."""

SAME_NAME = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
)


def chat_fields(exchange: Exchange, limit: str, *, reasoning: bool) -> dict[str, Any]:
    """The fields of a chat; `limit` is the vendor's name for the longest answer. Raises `UnsupportedFeature`."""
    parameters = exchange.parameters
    fields = common_fields(parameters, limit)
    fields["messages"] = [message_wire(message, reasoning=reasoning) for message in exchange.messages]
    if parameters.logprobs:
        fields["logprobs"] = True
        if parameters.top_logprobs is not None:
            fields["top_logprobs"] = parameters.top_logprobs
    if parameters.constraint is not None:
        fields["response_format"] = format_of(parameters.constraint)
    if parameters.tools:
        fields["tools"] = [tool_wire(tool) for tool in parameters.tools]
    if parameters.tool_choice is not None or parameters.allowed_tools:
        fields["tool_choice"] = tool_choice_wire(parameters)
    if parameters.parallel_tool_calls is not None and parameters.tools:
        fields["parallel_tool_calls"] = parameters.parallel_tool_calls
    if (effort := effort_of(parameters)) is not None:
        fields["reasoning_effort"] = effort
    return fields


def completion_fields(exchange: Exchange) -> dict[str, Any]:
    parameters = exchange.parameters
    fields = common_fields(parameters, "max_tokens")
    fields["prompt"] = exchange.prompt
    if parameters.logprobs:
        fields["logprobs"] = parameters.top_logprobs or 0
    return fields


def common_fields(parameters: Parameters, limit: str) -> dict[str, Any]:
    fields: dict[str, Any] = {name: value for name in SAME_NAME if (value := getattr(parameters, name)) is not None}
    if parameters.max_tokens is not None:
        fields[limit] = parameters.max_tokens
    if parameters.stop:
        fields["stop"] = parameters.stop
    if parameters.n != 1:
        fields["n"] = parameters.n
    return fields


def message_wire(message: Message, *, reasoning: bool) -> Any:
    """A message without what only other dialects know. Raises `UnsupportedFeature`."""
    content = message.content
    if isinstance(content, list):
        content = [part_wire(part) for part in content]
    fields: dict[str, Any] = {"role": message.role, "content": content}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        fields["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": name, "arguments": call.function.arguments}}
            for call in message.tool_calls
            for name in (call.function.name,)
        ]
    if reasoning and message.reasoning_content is not None:
        fields["reasoning_content"] = message.reasoning_content
    return fields


def part_wire(part: Part) -> Part:
    if part.file is not None and part.file.file_url is not None:
        raise UnsupportedFeature(
            "The OpenAI dialect cannot name a file by its address.",
            hint="Send its bytes as base64.",
            param="messages",
        )
    return part if part.cache_control is None else replace(part, cache_control=None)


def tool_wire(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters != "{}":
        function["parameters"] = Raw(tool.parameters.encode())
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def tool_choice_wire(parameters: Parameters) -> Any:
    choice = parameters.tool_choice
    if parameters.allowed_tools:
        allowed = [{"type": "function", "function": {"name": name}} for name in parameters.allowed_tools]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice or "auto", "tools": allowed}}
    if choice is not None and choice.startswith(FORCED):
        return {"type": "function", "function": {"name": choice.removeprefix(FORCED)}}
    return choice


def effort_of(parameters: Parameters) -> str | None:
    """The effort that was asked for, or the nearest to a bound on tokens, which this dialect does not have."""
    tokens = parameters.reasoning_tokens
    if parameters.reasoning_effort is not None or tokens is None:
        return parameters.reasoning_effort
    return next((effort for bound, effort in EFFORTS if tokens <= bound), "high")


def format_of(constraint: Constraint) -> dict[str, Any]:
    """Raises `UnsupportedFeature`."""
    if constraint.kind != "json_schema":
        what = "a regular expression" if constraint.kind == "regex" else "a grammar"
        raise UnsupportedFeature(
            f"Remote models cannot be held to {what}.", hint="Use a JSON schema, or a local model."
        )
    if constraint == ANY_OBJECT:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": constraint.name or "answer", "schema": Raw(constraint.source.encode())}
    if constraint.description is not None:
        schema["description"] = constraint.description
    schema["strict"] = True if constraint.strict is None else constraint.strict
    return {"type": "json_schema", "json_schema": schema}
