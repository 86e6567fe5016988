"""What `MiniLM` and its child process say to each other: one msgpack value a frame."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Precision = Literal["f32", "bf16"]


class Setup(Struct, frozen=True, kw_only=True):
    """The first frame to the child. `max_tokens` counts the two marks at the ends."""

    folder: str
    precision: Precision
    threads: int
    max_tokens: int


class Ready(Struct, frozen=True, kw_only=True):
    """The child's first frame."""

    memory_bytes: int


class Job(Struct, frozen=True, kw_only=True, tag="job"):
    id: int
    texts: tuple[str, ...]
    urgent: bool


class Cancel(Struct, frozen=True, kw_only=True, tag="cancel"):
    """Nobody waits for this job any more."""

    id: int


class Result(Struct, frozen=True, kw_only=True):
    """`vectors` holds little-endian float32, one row after the other in the order of the texts."""

    id: int
    vectors: bytes
    tokens: int
    memory_bytes: int
