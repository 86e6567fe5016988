"""Identifiers: W3C trace and span ids, UUIDv7 with a typed prefix for everything else."""

from __future__ import annotations

import hashlib
import os
import threading
import time

BLOCK = 4096


class Randomness(threading.local):
    """Random bytes of the system, taken in blocks: asking it for each id would cost more than the id."""

    def __init__(self) -> None:
        self._hex = ""
        self._at = 0
        self._process = 0

    def hex(self, digits: int) -> str:
        """So many hex digits, never given out before."""
        at = self._at
        if at + digits > len(self._hex) or self._process != PROCESS[0]:
            self._hex, at, self._process = os.urandom(BLOCK).hex(), 0, PROCESS[0]
        self._at = at + digits
        return self._hex[at : at + digits]


PROCESS = [os.getpid()]
"""A forked process must not give out what its parent has drawn."""
os.register_at_fork(after_in_child=lambda: PROCESS.__setitem__(0, os.getpid()))
RANDOM = Randomness()


def new_trace_id() -> str:
    """32 lower-case hex digits (W3C Trace Context)."""
    return RANDOM.hex(32)


def new_span_id() -> str:
    """16 lower-case hex digits (W3C Trace Context)."""
    return RANDOM.hex(16)


VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def uuid7() -> str:
    """A time-ordered UUID (RFC 9562, version 7) as 32 hex digits, without dashes."""
    random = RANDOM.hex(19)
    return f"{time.time_ns() // 1_000_000:012x}7{random[:3]}{VARIANTS[random[3]]}{random[4:]}"


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
