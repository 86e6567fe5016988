"""An embedder presented as a provider, so that /v1/embeddings passes through the same stages as everything."""

from __future__ import annotations

from collections.abc import AsyncIterator

from penstock.errors import UnsupportedFeature
from penstock.exchange import Chunk, Exchange, Usage
from penstock.seams import Embedder


class EmbeddingProvider:
    """Answers `embed` exchanges (`seams.Provider`). Closing it leaves the embedder to its owner."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def name(self) -> str:
        return self._embedder.name

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises `UnsupportedFeature` for a number of dimensions that is not the model's own."""
        wanted = exchange.options.get("dimensions")
        if wanted not in (None, self._embedder.dimensions):
            raise UnsupportedFeature(
                f"{self.name} makes vectors of {self._embedder.dimensions} dimensions, not {wanted}.",
                hint="Leave 'dimensions' out.",
                param="dimensions",
            )
        result = await self._embedder.embed(exchange.inputs)
        yield Chunk(
            embeddings=tuple(row.astype("<f4", copy=False).tobytes() for row in result.vectors),
            usage=Usage(result.tokens),
        )

    async def close(self) -> None:
        pass
