"""Checksums of what was written, so that it can be told later whether it still is what was written.

Row numbers, ids and times are no part of them: two runs over the same files come to the same seals.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.knowledge.stores.writes import Header, NewChunk

SIZE = 16
encode = msgspec.msgpack.Encoder().encode


def seal_of(*parts: object) -> bytes:
    """16 bytes that change with any of these values."""
    return hashlib.blake2b(encode(parts), digest_size=SIZE).digest()


def body_of(marks: bytes, text: str, chunks: Iterable[NewChunk]) -> bytes:
    """The seal of a document's text and passages."""
    return body_of_rows(marks, text, (msgspec.structs.astuple(chunk) for chunk in chunks))


def body_of_rows(marks: bytes, text: str, chunks: Iterable[Iterable[Any]]) -> bytes:
    """The same of passages as tuples with the fields of `NewChunk`, in its order, by where they start."""
    seal = hashlib.blake2b(encode((marks, text)), digest_size=SIZE)
    for chunk in chunks:
        seal.update(encode(tuple(chunk)))
    return seal.digest()


def header_of(header: Header) -> bytes:
    """The seal of everything that is shown of a document; its own field `seal` is left out."""
    return seal_of(
        header.source,
        header.path,
        header.title,
        header.kind,
        header.status,
        header.reason,
        header.recipe,
        header.parser,
        header.digest,
        header.pages,
        header.characters,
        header.chunks,
        header.url,
        header.metadata,
        header.readers,
        header.body,
    )


def checksum(vector: bytes) -> int:
    """Of a vector as it is stored (CRC-32)."""
    return zlib.crc32(vector)
