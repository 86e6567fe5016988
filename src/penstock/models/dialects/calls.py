"""The arguments of calls of tools, which models write as text and vendors take as JSON."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from penstock.errors import InvalidRequest
from penstock.exchange import ToolCall

OBJECT = msgspec.json.Decoder(dict[str, Raw])


def arguments_of(call: ToolCall) -> Raw:
    """The arguments of a call as a JSON object. Raises `InvalidRequest` for any other text."""
    arguments = call.function.arguments.encode() or b"{}"
    try:
        OBJECT.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(
            f"The arguments of the call {call.id or call.function.name!r} are not a JSON object.", param="messages"
        ) from None
    return Raw(arguments)
