"""What a request to /v1/responses asks for that only a provider of this API can give.

A field that would change the answer is never dropped in silence. Those in `HARMLESS` do not, or not in a way that
can be seen, and every target accepts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.models.dialects.needs import Need
from penstock.models.dialects.responses.items import KINDS, Item, kind_of

READ = frozenset(
    {
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "stream",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Fields that become part of the `Exchange`, or of the answer."""

HARMLESS = frozenset(
    {
        "max_tool_calls",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "stream_options",
    }
)
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "truncation": ("disabled",),
    "context_management": ([],),
}
"""Values that say what would happen anyway."""

INCLUDED = frozenset({"message.output_text.logprobs", "reasoning.encrypted_content"})
FORMATS = frozenset({"text", "json_object", "json_schema"})
PARTS = frozenset({"input_text", "output_text", "text", "refusal", "input_file"})


def unsaid(fields: dict[str, Any], items: Sequence[Item]) -> Iterator[Need]:
    """What the neutral form of a request cannot say. `fields` were read before, so they have the right types."""
    for name, value in fields.items():
        if name in READ or name in HARMLESS or value is None or value in NEUTRAL.get(name, ()):
            continue
        yield Need(name, name, (name,))
    for place, tool in enumerate(fields.get("tools") or ()):
        if tool["type"] != "function":
            yield Need(f"{tool['type']} tools", f"tools[{place}].type", ("tools", place))
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] not in ("function", "allowed_tools"):
        yield Need(f"{choice['type']} tools", "tool_choice.type", ("tool_choice",))
    text = fields.get("text") or {}
    if text.get("verbosity") not in (None, "medium"):
        yield Need("verbosity", "text.verbosity", ("text", "verbosity"))
    format = text.get("format")
    if format and format["type"] not in FORMATS:
        yield Need(f"text.format {format['type']!r}", "text.format.type", ("text", "format"))
    for place, each in enumerate(fields.get("include") or ()):
        if each not in INCLUDED:
            yield Need(f"{each!r} in its answers", f"include[{place}]", ("include", place))
    for place, item in enumerate(items):
        yield from unsaid_item(item, f"input[{place}]", ("input", place))


def unsaid_item(item: Item, param: str, path: tuple[str | int, ...]) -> Iterator[Need]:
    kind = kind_of(item)
    if kind not in KINDS:
        yield Need(f"{kind} items", f"{param}.type", path)
    name = "output" if kind == "function_call_output" else "content"
    content = item.get(name) if kind in ("message", "function_call_output") else None
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if part["type"] in PARTS or (part["type"] == "input_image" and part.get("image_url")):
            continue
        feature = "images by file id" if part["type"] == "input_image" else f"{part['type']} parts"
        yield Need(feature, f"{param}.{name}[{number}]", (*path, name, number))
