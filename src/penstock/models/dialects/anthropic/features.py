"""What a request in the Anthropic dialect asks for that has no neutral form: only its own providers can give it.

A field that would change the answer is never dropped in silence: it is named, whether it is known here or not.
Blocks that are not known stand in the neutral form as parts that are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.models.dialects.decoding import decode
from penstock.models.dialects.needs import Need, check_role

READ = frozenset(
    {
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
"""Fields that become part of the `Exchange`."""

HARMLESS = frozenset({"cache_control", "diagnostics", "service_tier", "speed", "user_profile_id", "workspace_id"})
"""Fields that change what is paid, how fast it goes or what is told about it, not what is answered."""

NEUTRAL: dict[str, tuple[Any, ...]] = {"mcp_servers": ([],), "context_management": ({}, {"edits": []})}
"""Values that say what would happen anyway."""

ROLES = ("user", "assistant", "system")
ANY_FIELDS = msgspec.json.Decoder(dict[str, Any])


def unsaid(body: bytes) -> Iterator[Need]:
    """What the neutral form cannot say. `body` was read before, so it is a JSON object with the right types."""
    fields = decode(ANY_FIELDS, body)
    for name, value in fields.items():
        if name in READ or name in HARMLESS or value is None or value in NEUTRAL.get(name, ()):
            continue
        yield Need(name, name)
    if fields.get("max_tokens") == 0:
        yield Need("the warming of a cache", "max_tokens")
    format = (fields.get("output_config") or {}).get("format")
    if format and format["type"] != "json_schema":
        yield Need(f"output_config.format {format['type']!r}", "output_config.format.type")
    for index, tool in enumerate(fields.get("tools") or ()):
        if tool.get("type") not in (None, "custom"):
            yield Need(f"{tool['type']} tools", f"tools[{index}]")
    for index, message in enumerate(fields["messages"]):
        check_role(message["role"], ROLES, f"messages[{index}]")
        yield from unsaid_by_content(message["content"], f"messages[{index}].content")


def unsaid_by_content(content: Any, path: str) -> Iterator[Need]:
    for number, block in enumerate(content if isinstance(content, list) else ()):
        where = f"{path}[{number}]"
        if block["type"] == "document":
            if (block.get("citations") or {}).get("enabled"):
                yield Need("citations", f"{where}.citations")
            if block.get("context"):
                yield Need("context of documents", f"{where}.context")
        elif block["type"] == "tool_result":
            yield from unsaid_by_content(block.get("content"), f"{where}.content")
