"""Every protocol in one file: what can be replaced, and what a replacement must do.

Each has a default, a fake in `penstock.testing` and one contract test that every backend passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.exchange import Chunk, Exchange

SpanKind = Literal["chain", "llm", "embedding", "retriever", "reranker", "guard", "tool", "prompt"]


class Span(Protocol):
    """A timed piece of one trace, open until its `with` block ends. An exception marks it as failed."""

    def set(self, **attributes: Any) -> None:
        """Adds attributes (JSON values)."""
        ...

    def backdate(self, seconds: float) -> None:
        """Moves the start back: for a step that turned out to be worth a span only when it was over."""
        ...

    @property
    def tracer(self) -> Tracer:
        """Makes spans below this one."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Makes the spans of one trace."""

    def span(self, name: str, kind: SpanKind = "chain", **attributes: Any) -> Span: ...


class Provider(Protocol):
    """Whatever answers: a remote API, a local engine, an app.

    `answer` yields at least one chunk; the last one that carries text or embeddings is followed by, or is, one
    with `finish_reason` (not for `embed`) and `usage`. Closing the iterator early cancels the work behind it.
    Raises a `PenstockError`, before the first chunk or between two.
    """

    @property
    def name(self) -> str: ...

    def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]: ...

    async def close(self) -> None: ...


Call = Callable[[Exchange], AsyncIterator[Chunk]]
"""How a part calls a model without knowing the gateway: an app's child calls go through it."""


class Facts(Protocol):
    """What is known about the person who asks, for prompts."""

    async def about(self, exchange: Exchange) -> Mapping[str, Any]:
        """JSON values by name. Never fails: what cannot be looked up in time is left out, or a default."""
        ...


class EngineHealth(Struct, frozen=True, kw_only=True):
    """How a local engine is. Bytes; `cache_used` is the used share of the KV cache, 0 to 1, `None` if unknown."""

    state: Literal["starting", "ready", "restarting", "stopped"]
    model: str
    pid: int | None = None
    restarts: int = 0
    running: int = 0
    waiting: int = 0
    memory_bytes: int | None = None
    cache_used: float | None = None
    detail: str = ""


@runtime_checkable
class TokenCounter(Protocol):
    """A provider that can say how many tokens a request has without answering it."""

    async def count_tokens(self, exchange: Exchange) -> int:
        """The prompt tokens of an exchange, tools and chat template included. Raises a `PenstockError`."""
        ...


class Engine(Provider, Protocol):
    """A local process presented as a provider."""

    async def start(self) -> None:
        """Starts the process and returns when it can answer. Raises `Unavailable` or `ConfigError`."""
        ...

    def health(self) -> EngineHealth: ...

    async def count_tokens(self, exchange: Exchange) -> int:
        """The prompt tokens of an exchange, chat template applied."""
        ...


class Embeddings(Struct, frozen=True):
    """`vectors` is float32 of shape (texts, dimensions), each row of length 1; `tokens` counts all texts."""

    vectors: NDArray[np.float32]
    tokens: int


TextKind = Literal["passage", "query"]
"""What a text is to an embedder: something to be found, or what is looked for. Many models mark the two."""


class VectorPoint(Struct, frozen=True, kw_only=True):
    """A passage's vector with what a search filters by. `row` is its number in the system of record; it is shown by
    the generations from `added_in` to before `removed_in`."""

    row: int
    vector: NDArray[np.float32]
    added_in: int
    removed_in: int | None
    document: int
    metadata: Mapping[str, object]
    readers: tuple[str, ...]


class VectorHits(Struct, frozen=True):
    """Passages best first: `rows` int64 (n,), `cosines` float32 (n,)."""

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]


class Embedder(Protocol):
    """Texts to vectors. `fingerprint` changes whenever the vectors would, and never holds a key."""

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        """`urgent` work (somebody waits) goes ahead of bulk work. Texts over the model's length are cut.

        Raises a `PenstockError`.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class OwnTokenizer(Protocol):
    """An embedder whose tokenizer is a file on this machine, so that sizes can be counted as it counts them."""

    @property
    def tokenizer(self) -> Path:
        """A `tokenizer.json`."""
        ...


class Reranker(Protocol):
    """Reads a query and a text together and says how well the one answers the other.

    `fingerprint` changes whenever the scores would.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """A score from 0 to 1 for each text, in the order of the texts: float32 (texts,).

        Scores of one call compare with each other; texts over the model's length are cut. Raises a
        `PenstockError`.
        """
        ...

    async def close(self) -> None: ...
