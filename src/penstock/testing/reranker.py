"""A reranker without a model: a text that has the words of the query answers it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"\w+")


class FakeReranker:
    """Scores a text by the share of the query's words that stand in it (`seams.Reranker`).

    `calls` are the queries and texts that it was given.
    """

    def __init__(self, name: str = "fake-reranker") -> None:
        self._name = name
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return f"fake:{self._name}"

    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append((query, tuple(texts)))
        wanted = words_of(query)
        shares = [len(wanted & words_of(text)) / max(1, len(wanted)) for text in texts]
        return np.asarray(shares, np.float32)

    async def close(self) -> None:
        pass


def words_of(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))
