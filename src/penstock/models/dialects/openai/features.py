"""What a request asks for beyond plain text, so that a target that cannot do it says so.

A field that would change the answer is never dropped in silence: it is needed, whether it is known here or not.
Fields in `HARMLESS` do not change what is answered, and every target accepts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from penstock.exchange import Operation


class Need(Struct, frozen=True):
    """A feature that a request uses, and the path of the field that asks for it."""

    feature: str
    param: str


COMMON = frozenset({"model", "stream", "stream_options", "temperature", "top_p", "seed", "stop", "max_tokens"})
READ: dict[Operation, frozenset[str]] = {
    "chat": COMMON | {"messages", "max_completion_tokens", "response_format", "logprobs"},
    "complete": COMMON | {"prompt", "logprobs"},
    "embed": frozenset({"model", "input", "encoding_format", "dimensions"}),
    "rerank": frozenset({"model", "query", "documents", "top_n", "return_documents"}),
}
"""Fields that become part of the `Exchange`."""

HARMLESS = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
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
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Values that say what would happen anyway."""

FEATURES = {"functions": "tools", "function_call": "tools", "tool_choice": "tools"}
PARTS = {"image_url": "images", "input_audio": "audio", "file": "files"}
FORMATS = ("json_object", "json_schema", "regex")
MESSAGE_TOOLS = ("tool_calls", "function_call", "tool_call_id")

ANY_FIELDS = msgspec.json.Decoder(dict[str, Any])


def needed(body: bytes, operation: Operation) -> Iterator[Need]:
    """The features that a body uses. `body` was read before, so it is a JSON object with the right types."""
    fields = ANY_FIELDS.decode(body)
    read = READ[operation]
    for name, value in fields.items():
        if name in read or name in HARMLESS or value is None or value in NEUTRAL.get(name, ()):
            continue
        yield Need(FEATURES.get(name, name), name)
    if operation == "chat":
        yield from needed_by_chat(fields)
    elif operation == "complete":
        yield from needed_by_completion(fields)
    elif operation == "embed" and not all(isinstance(text, str) for text in fields["input"]):
        yield Need("token ids", "input")


def needed_by_chat(fields: dict[str, Any]) -> Iterator[Need]:
    if fields.get("logprobs"):
        yield Need("logprobs", "logprobs")
    format = fields.get("response_format")
    if format and format["type"] != "text":
        if format["type"] in FORMATS:
            yield Need("response_format", "response_format")
        else:
            yield Need(f"response_format {format['type']!r}", "response_format.type")
    for index, message in enumerate(fields["messages"]):
        path = f"messages[{index}]"
        if message["role"] in ("tool", "function"):
            yield Need("tools", f"{path}.role")
        for name in MESSAGE_TOOLS:
            if message.get(name):
                yield Need("tools", f"{path}.{name}")
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] != "text":
                feature = PARTS.get(part["type"], f"{part['type']!r} parts")
                yield Need(feature, f"{path}.content[{number}].{part['type']}")


def needed_by_completion(fields: dict[str, Any]) -> Iterator[Need]:
    prompt = fields["prompt"]
    if isinstance(prompt, list) and not (len(prompt) == 1 and isinstance(prompt[0], str)):
        yield Need("several prompts" if all(isinstance(each, str) for each in prompt) else "token ids", "prompt")
    logprobs = fields.get("logprobs")
    if logprobs is not None:
        yield Need("top_logprobs" if logprobs else "logprobs", "logprobs")
