"""What a request in the OpenAI dialect asks for that has no neutral form: only its own providers can give it.

A field that would change the answer is never dropped in silence: it is named, whether it is known here or not.
Fields in `HARMLESS` do not change what is answered, and every target accepts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.exchange import Operation
from penstock.models.dialects.decoding import decode
from penstock.models.dialects.needs import Need, check_role

COMMON = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
        "max_tokens",
        "n",
        "logprobs",
        "frequency_penalty",
        "presence_penalty",
    }
)
CHAT = frozenset(
    {
        "messages",
        "max_completion_tokens",
        "response_format",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "thinking",
    }
)
READ: dict[Operation, frozenset[str]] = {
    "chat": COMMON | CHAT,
    "complete": COMMON | {"prompt"},
    "embed": frozenset({"model", "input", "encoding_format", "dimensions"}),
    "rerank": frozenset({"model", "query", "documents", "top_n", "return_documents"}),
}
"""Fields that become part of the `Exchange`."""

HARMLESS = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "suffix": ("",),
    "verbosity": ("medium",),
}
"""Values that say what would happen anyway."""

FEATURES = {"function_call": "functions"}
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
FORMATS = ("text", "json_object", "json_schema", "regex")

ANY_FIELDS = msgspec.json.Decoder(dict[str, Any])


def unsaid(body: bytes, operation: Operation) -> Iterator[Need]:
    """What the neutral form cannot say. `body` was read before, so it is a JSON object with the right types."""
    fields = decode(ANY_FIELDS, body)
    read = READ.get(operation, frozenset())
    for name, value in fields.items():
        if name in read or name in HARMLESS or value is None or value in NEUTRAL.get(name, ()):
            continue
        yield Need(FEATURES.get(name, name), name)
    if operation == "chat":
        yield from unsaid_by_chat(fields)
    elif operation == "complete":
        yield from unsaid_by_completion(fields["prompt"])
    elif operation == "embed" and not all(isinstance(text, str) for text in fields["input"]):
        yield Need("token ids", "input")


def unsaid_by_chat(fields: dict[str, Any]) -> Iterator[Need]:
    format = fields.get("response_format")
    if format and format["type"] not in FORMATS:
        yield Need(f"response_format {format['type']!r}", "response_format.type")
    for index, tool in enumerate(fields.get("tools") or ()):
        if tool.get("function") is None:
            yield Need(f"{tool.get('type')} tools", f"tools[{index}]")
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] not in ("function", "allowed_tools"):
        yield Need(f"{choice['type']} tools", "tool_choice")
    for index, message in enumerate(fields["messages"]):
        yield from unsaid_by_message(message, f"messages[{index}]")


def unsaid_by_message(message: dict[str, Any], path: str) -> Iterator[Need]:
    check_role(message["role"], ROLES, path)
    if message["role"] == "function":
        yield Need("functions", f"{path}.role")
    if message.get("function_call"):
        yield Need("functions", f"{path}.function_call")
    if message.get("audio"):
        yield Need("audio", f"{path}.audio")
    if message.get("refusal"):
        yield Need("refusals", f"{path}.refusal")
    for number, call in enumerate(message.get("tool_calls") or ()):
        if call.get("type", "function") != "function":
            yield Need(f"{call['type']} tools", f"{path}.tool_calls[{number}]")


def unsaid_by_completion(prompt: Any) -> Iterator[Need]:
    if isinstance(prompt, list) and not (len(prompt) == 1 and isinstance(prompt[0], str)):
        yield Need("several prompts" if all(isinstance(each, str) for each in prompt) else "token ids", "prompt")
