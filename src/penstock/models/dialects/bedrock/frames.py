"""Frames of `application/vnd.amazon.eventstream`, in which AWS sends streams.

    4 bytes  length of the whole frame       ┐
    4 bytes  length of the headers           │ prelude
    4 bytes  CRC-32 of the eight before      ┘
    headers: length of name, name, type, value
    payload
    4 bytes  CRC-32 of everything before

Numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

from msgspec import Struct

PRELUDE = struct.Struct(">III")
CRC = struct.Struct(">I")
MAX_FRAME = 24 << 20
STRING = 7
FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the values of each type; types 6 and 7 say their own length."""


class FrameBroken(ValueError):
    """Bytes that are no frame, or whose checksum is wrong."""


class Frame(Struct, frozen=True):
    """One message. `headers` are those whose value is text; the others carry nothing in what Bedrock sends."""

    headers: Mapping[str, str]
    payload: bytes


def encoded(frame: Frame) -> bytes:
    headers = b""
    for name, value in ((name.encode(), value.encode()) for name, value in frame.headers.items()):
        headers += bytes([len(name)]) + name + struct.pack(">BH", STRING, len(value)) + value
    total = PRELUDE.size + len(headers) + len(frame.payload) + CRC.size
    prelude = struct.pack(">II", total, len(headers))
    prelude += CRC.pack(zlib.crc32(prelude))
    body = prelude + headers + frame.payload
    return body + CRC.pack(zlib.crc32(body))


class FrameReader:
    """Cuts a byte stream into frames. `pending` is whether a frame has begun and not ended."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> bool:
        return bool(self._rest)

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Raises `FrameBroken`, and `OverflowError` for a frame of more than `MAX_FRAME` bytes."""
        data = self._rest + received if self._rest else received
        start = 0
        try:
            while len(data) - start >= PRELUDE.size:
                total, headers, checksum = PRELUDE.unpack_from(data, start)
                if zlib.crc32(data[start : start + 8]) != checksum:
                    raise FrameBroken("a frame whose first checksum is wrong")
                if total > MAX_FRAME:
                    raise OverflowError(f"an event of more than {MAX_FRAME} bytes")
                if total < PRELUDE.size + headers + CRC.size:
                    raise FrameBroken("a frame that is shorter than its headers")
                if len(data) - start < total:
                    break
                frame = data[start : start + total]
                start += total
                yield decoded(frame, headers)
        finally:
            self._rest = data[start:]


def decoded(frame: bytes, headers: int) -> Frame:
    end = len(frame) - CRC.size
    if zlib.crc32(frame[:end]) != CRC.unpack_from(frame, end)[0]:
        raise FrameBroken("a frame whose checksum is wrong")
    split = PRELUDE.size + headers
    return Frame(dict(headers_of(frame[PRELUDE.size : split])), frame[split:end])


def headers_of(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    try:
        while at < len(data):
            length = data[at]
            name = data[at + 1 : at + 1 + length].decode()
            at += 1 + length
            kind = data[at]
            at += 1
            if kind in FIXED:
                at += FIXED[kind]
                continue
            (size,) = struct.unpack_from(">H", data, at)
            at += 2
            if at + size > len(data):
                raise FrameBroken("a frame whose headers are longer than it says")
            if kind == STRING:
                yield name, data[at : at + size].decode()
            at += size
    except (IndexError, struct.error, UnicodeDecodeError):
        raise FrameBroken("a frame whose headers are broken") from None
