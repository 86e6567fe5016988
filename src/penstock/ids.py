"""Identifiers: W3C trace and span ids, UUIDv7 with a typed prefix for everything else."""

from __future__ import annotations

import hashlib
import os
import time

BLOCK = 4096


class Randomness:
    """Random words of 32 hex digits, drawn from the system many at a time: asking it for each would cost more.

    Safe in threads, since a list gives an item out only once. A forked process must not give out its parent's.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        os.register_at_fork(after_in_child=self._words.clear)

    def word(self) -> str:
        """32 hex digits, never given out before."""
        try:
            return self._words.pop()
        except IndexError:
            last, *words = os.urandom(BLOCK).hex(" ", 16).split()
            self._words += words
            return last


RANDOM = Randomness()


def new_trace_id() -> str:
    """32 lower-case hex digits (W3C Trace Context)."""
    return RANDOM.word()


def new_span_id() -> str:
    """16 lower-case hex digits (W3C Trace Context)."""
    return RANDOM.word()[:16]


VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def uuid7() -> str:
    """A time-ordered UUID (RFC 9562, version 7) as 32 hex digits, without dashes."""
    random = RANDOM.word()
    return f"{time.time_ns() // 1_000_000:012x}7{random[:3]}{VARIANTS[random[3]]}{random[4:19]}"


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
