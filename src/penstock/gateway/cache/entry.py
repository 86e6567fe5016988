"""One cached answer: the chunks as they came, so that what was streamed is streamed again event by event."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock.exchange import Chunk, Exchange, Operation
from penstock.gateway.flight import Chunks

VERSION = 1
CHECK = 4
COMPLETE = frozenset({"stop", "tool_calls"})
GENERATED: frozenset[Operation] = frozenset({"chat", "complete"})


class Entry(Struct, frozen=True, kw_only=True, array_like=True):
    """An answer and when it was given, in microseconds UTC.

    `form` is what the raw bytes of its chunks fit: "whole", "stream" or "stream with usage".
    """

    version: int
    form: str
    stored_us: int
    until_us: int
    chunks: tuple[Chunk, ...]


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Entry)


def form_of(exchange: Exchange) -> str:
    if not exchange.stream:
        return "whole"
    return "stream with usage" if exchange.wants_usage else "stream"


def packed(key: bytes, entry: Entry) -> bytes:
    """The bytes to store under `key`. The check in front covers the key, so they are worth nothing elsewhere."""
    data = ENCODER.encode(entry)
    return zlib.crc32(data, zlib.crc32(key)).to_bytes(CHECK, "big") + data


def unpacked(key: bytes, stored: bytes) -> Entry | None:
    """`None` for what is not an entry of that key, or one of another version."""
    if zlib.crc32(stored[CHECK:], zlib.crc32(key)).to_bytes(CHECK, "big") != stored[:CHECK]:
        return None
    try:
        entry = DECODER.decode(stored[CHECK:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return entry if entry.version == VERSION else None


def is_complete(operation: Operation, chunks: Sequence[Chunk]) -> bool:
    """Whether an answer may be given again: it is whole, and was not cut off by a limit or a filter."""
    if operation not in GENERATED:
        return bool(chunks)
    pieces = [piece for chunk in chunks for piece in (chunk, *chunk.others)]
    ends = [piece.finish_reason for piece in pieces if piece.finish_reason is not None]
    return bool(ends) and COMPLETE.issuperset(ends)


def free(chunk: Chunk) -> Chunk:
    """The chunk with usage that costs nothing."""
    usage = chunk.usage
    return chunk if usage is None else replace(chunk, usage=replace(usage, cost_nanos=0))


def neutral(chunks: Sequence[Chunk]) -> tuple[Chunk, ...] | None:
    """The chunks without the provider's bytes, to be written anew in another form.

    `None` where the bytes say more than the rest of the chunks.
    """
    called = any(chunk.tool_calls for chunk in chunks)
    if any(chunk.finish_reason == "tool_calls" for chunk in chunks) and not called:
        return None
    return tuple(replace(chunk, raw=None) if chunk.raw is not None else chunk for chunk in chunks)


async def replay(chunks: Sequence[Chunk]) -> Chunks:
    for chunk in chunks:
        yield chunk
