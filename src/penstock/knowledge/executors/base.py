"""Where the work of a run is done: files read, passages embedded. The plan, the order and the writing are not its.

What comes out depends on what goes in alone, so that a run ends in the same content whoever executes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.knowledge.loaders.messages import ReadRequest, ReadResult
from penstock.knowledge.values import KnowledgeOptions
from penstock.seams import Embedder, Embeddings


class Executor(Protocol):
    """Made for one run, and stopped at its end. `workers` is how many files are read at a time."""

    @property
    def workers(self) -> int: ...

    async def read(self, request: ReadRequest) -> ReadResult:
        """What came of a file: everything a file can do wrong is a status. Calls may overlap in any number.

        Raises `Unavailable` where nothing can read.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """The vectors of passages. Raises what the embedder raises."""
        ...

    async def stop(self) -> None: ...


ExecutorFactory = Callable[[Embedder, KnowledgeOptions], Executor]
