"""An embedder presented as a provider, so that /v1/embeddings passes through the same stages as everything.

It reranks, too, by the cosine of the query's vector and each document's. A model made for reranking reads the two
together and orders better; what this gives is the order that a search by vectors would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np

from penstock.errors import UnsupportedFeature
from penstock.exchange import Chunk, Exchange, Usage
from penstock.seams import Embedder


class EmbeddingProvider:
    """Answers `embed` and `rerank` exchanges (`seams.Provider`). Closing it leaves the embedder to its owner."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def name(self) -> str:
        return self._embedder.name

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises `UnsupportedFeature` for dimensions that are not the model's own, or documents without a text."""
        if exchange.operation == "rerank":
            yield await self._ranked(exchange)
            return
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

    async def _ranked(self, exchange: Exchange) -> Chunk:
        for place, text in enumerate((exchange.prompt, *exchange.inputs)):
            if not text:
                param = f"documents[{place - 1}]" if place else "query"
                raise UnsupportedFeature(
                    f"{self.name} ranks texts, and {param!r} has none.",
                    hint="Send a text that is not empty.",
                    param=param,
                )
        result = await self._embedder.embed((exchange.prompt, *exchange.inputs), urgent=True)
        scores = result.vectors[1:] @ result.vectors[0]
        order = np.argsort(-scores, kind="stable")[: exchange.options.get("top_n")]
        ranking = tuple((int(place), round(float(scores[place]), 6)) for place in order)
        return Chunk(ranking=ranking, usage=Usage(result.tokens))

    async def close(self) -> None:
        pass
