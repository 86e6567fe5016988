"""What a model that reads texts and its child process say to each other: one msgpack value a frame."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Precision = Literal["f32", "bf16", "int8", "int8-bf16"]
"""How numbers are multiplied. With int8 that is bulk work: what is urgent, and the rest, is in f32 or bf16."""
Pooling = Literal["mean", "cls", "last"]
"""How the vectors of a text's tokens become one: their mean, that of the first mark, or that of the last token."""


class Setup(Struct, frozen=True, kw_only=True):
    """The first frame to the child: paths, and how to read them.

    `graph` is OpenVINO's XML, an ONNX file or safetensors of a BERT whose `config.json` is beside it. `pooling` is
    `None` where nothing says it, `scores` is whether the model reads pairs and gives one number. `max_tokens`
    counts the marks at the ends. `behind` names what the model's publisher runs behind the pooling.
    """

    graph: str
    tokenizer: str
    precision: Precision
    threads: int
    max_tokens: int
    pad_id: int = 0
    pooling: Pooling | None = None
    behind: tuple[str, ...] = ()
    scores: bool = False


class Ready(Struct, frozen=True, kw_only=True):
    """The child's first frame. `width` is how many numbers the model gives for a text."""

    width: int
    memory_bytes: int


class Job(Struct, frozen=True, kw_only=True, tag="job"):
    """`query` is what a reranker reads before each text."""

    id: int
    texts: tuple[str, ...]
    urgent: bool
    query: str | None = None


class Cancel(Struct, frozen=True, kw_only=True, tag="cancel"):
    """Nobody waits for this job any more."""

    id: int


class Result(Struct, frozen=True, kw_only=True):
    """`rows` holds little-endian float32, one row after the other in the order of the texts."""

    id: int
    rows: bytes
    tokens: int
    memory_bytes: int
