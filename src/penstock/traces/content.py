"""Attributes to JSON within a bound: long texts are cut, and say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

CUT = "… [{0} bytes cut]"
PREVIEW = 500


def clean(text: str) -> str:
    """A text that can be stored: half a surrogate pair has no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def preview(text: str) -> str:
    """The beginning of a text on one line, `PREVIEW` characters at most."""
    line = " ".join(clean(text[: 4 * PREVIEW]).split())
    return line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…"


def encode(attributes: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """A JSON object. A value that has no JSON form is stored as the name of its type."""
    try:
        return ENCODER.encode(attributes)
    except (TypeError, ValueError, RecursionError):
        pass
    if isinstance(attributes, msgspec.Struct):
        named = zip(attributes.__struct_encode_fields__, msgspec.structs.astuple(attributes), strict=True)
        attributes = {name: value for name, value in named if value is not None}
    return ENCODER.encode({clean(str(name)): encodable(value) for name, value in attributes.items()})


def joined(*objects: bytes) -> bytes:
    """JSON objects as one."""
    return b"{" + b",".join([each[1:-1] for each in objects if each != b"{}"]) + b"}"


def bounded(encoded: bytes, limit: int) -> bytes:
    """A JSON object cut to about `limit` bytes: the longest texts give way first."""
    if len(encoded) <= limit:
        return encoded
    values = msgspec.json.decode(encoded)
    lengths = sorted(len(text.encode()) for text in texts(values))
    longest = fair_share(lengths, limit - (len(encoded) - sum(lengths)))
    encoded = ENCODER.encode(shortened(values, longest))
    if len(encoded) > 2 * limit:  # not texts but numbers, or very many short texts
        encoded = ENCODER.encode({name: small(value, limit // 8) for name, value in values.items()})
    return encoded


def fair_share(lengths: list[int], room: int) -> int:
    """The most bytes that each text may keep so that all fit into `room`. `lengths` ascends."""
    for done, length in enumerate(lengths):
        share = max(0, room) // (len(lengths) - done)
        if length > share:
            return share
        room -= length
    return room


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def shortened(value: Any, longest: int) -> Any:
    """The value with every text cut to `longest` bytes of UTF-8, and marked where it was."""
    if isinstance(value, str):
        data = value.encode()
        if len(data) <= longest:
            return value
        return data[:longest].decode(errors="ignore") + CUT.format(len(data) - longest)
    if isinstance(value, dict):
        return {name: shortened(each, longest) for name, each in value.items()}
    if isinstance(value, list):
        return [shortened(each, longest) for each in value]
    return value


def small(value: Any, longest: int) -> Any:
    size = len(ENCODER.encode(value))
    return value if size <= longest else CUT.format(size)


def encodable(value: Any) -> Any:
    """The value, or the nearest that has a JSON form."""
    if isinstance(value, str):
        return clean(value)
    try:
        ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        return unknown(value)
    return value


def unknown(value: Any) -> str:
    return f"<{type(value).__name__}>"


ENCODER = msgspec.json.Encoder(enc_hook=unknown)
