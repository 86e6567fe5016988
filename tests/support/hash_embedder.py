"""An embedder without a model: a text is the sum of one fixed direction per word, so shared words are nearness."""

import hashlib
from collections.abc import Sequence

import numpy as np

from penstock.knowledge.terms import terms
from penstock.seams import Embeddings, TextKind


class HashEmbedder:
    """Deterministic, 32 dimensions by default; `salt` makes it another embedder. `texts` are all it was given."""

    def __init__(self, salt: str = "", dimensions: int = 32) -> None:
        self.name = f"hash{salt}"
        self.dimensions = dimensions
        self.fingerprint = f"hash:{salt}:{dimensions}"
        self.texts: list[str] = []
        self._salt = salt
        self._directions: dict[str, np.ndarray] = {}

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        if not urgent:
            self.texts.extend(texts)
        vectors = np.stack([self._vector(text) for text in texts]) if texts else np.zeros((0, self.dimensions))
        return Embeddings(vectors.astype(np.float32), sum(len(text.split()) for text in texts))

    async def close(self) -> None:
        pass

    def _vector(self, text: str) -> np.ndarray:
        vector = np.full(self.dimensions, 1e-6)
        for word in terms(text):
            vector += self._direction(word)
        return vector / np.linalg.norm(vector)

    def _direction(self, word: str) -> np.ndarray:
        if word not in self._directions:
            seed = int.from_bytes(hashlib.sha256((self._salt + word).encode()).digest()[:8], "big")
            self._directions[word] = np.random.default_rng(seed).standard_normal(self.dimensions)
        return self._directions[word]
