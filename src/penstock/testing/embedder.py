"""An embedder without a model: texts that share words get vectors that are near."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from penstock.seams import Embeddings, TextKind


class FakeEmbedder:
    """Hashes the words of a text into a vector of length 1, the same on every machine (`seams.Embedder`).

    An empty text gets the first axis, so that it has a direction, too. `batches` are the texts it was given.
    """

    def __init__(self, name: str = "fake-embedder", dimensions: int = 64) -> None:
        self._name = name
        self._dimensions = dimensions
        self.batches: list[tuple[str, ...]] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def fingerprint(self) -> str:
        return f"{self._name}-{self._dimensions}"

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        self.batches.append(tuple(texts))
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        tokens = 0
        for row, text in zip(vectors, texts, strict=True):
            words = text.lower().split()
            tokens += len(words)
            for word in words:
                digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
                row[int.from_bytes(digest[:4], "big") % self._dimensions] += 1 if digest[4] & 1 else -1
            if not row.any():
                row[0] = 1
            row /= np.linalg.norm(row)
        return Embeddings(vectors, tokens)

    async def close(self) -> None:
        pass
