"""Identifiers: W3C trace and span ids, UUIDv7 with a typed prefix for everything else."""

from __future__ import annotations

import hashlib
import os
import time


def new_trace_id() -> str:
    """32 lower-case hex digits (W3C Trace Context)."""
    return os.urandom(16).hex()


def new_span_id() -> str:
    """16 lower-case hex digits (W3C Trace Context)."""
    return os.urandom(8).hex()


def uuid7() -> str:
    """A time-ordered UUID (RFC 9562, version 7) as 32 hex digits, without dashes."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return f"{value:032x}"


def new_id(prefix: str) -> str:
    """`prefix_` and a UUIDv7: `new_id("doc")` is `doc_0197…`."""
    return f"{prefix}_{uuid7()}"


def content_id(prefix: str, *parts: bytes | str) -> str:
    """An id that is a hash of its content: equal parts, equal id."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return f"{prefix}_{digest.hexdigest()[:24]}"
