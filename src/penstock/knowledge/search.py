"""A question to the passages that fit it best: words and meaning, mixed convexly.

Both scores are shares from 0 to 1 that mean the same for every question: the cosine of the vectors, and how
much of the question's words a passage holds (`lexical.py`). The weights were chosen on SQuAD 2.0 paragraphs
that are not in the retrieval benchmark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.lexical import PassageWords, WordWeights, match_expression, question_terms, text_share
from penstock.knowledge.stores.index import VectorIndex, VectorIndexes
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import Published, StoredChunk
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Hit, Query, Scope, SearchResult
from penstock.seams import Embedder, Tracer

VECTOR_WEIGHT = 0.5
TEXT_CANDIDATES = 500
LOOKED_AT = 12
"""Passages that are compared sentence by sentence, best first by what is known before."""


class Candidate(Struct, frozen=True):
    """A passage worth a closer look; `cosine` is `None` where vectors were not searched."""

    row: int
    cosine: float | None
    bm25: float


class Within(Struct, frozen=True):
    """What may be found: passages of a generation, `None` for all of them, and how many are looked at."""

    generation: Published
    passages: NDArray[np.int64] | None
    limit: int


class Searcher:
    """Hybrid search over one store. A search sees one generation from beginning to end."""

    def __init__(self, store: SqliteStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._indexes = VectorIndexes(embedder.dimensions)
        self._words = PassageWords()

    async def search(self, query: Query, tracer: Tracer | None = None) -> SearchResult:
        if tracer is None:
            vector = await self._embed(query.text)
            return await asyncio.to_thread(self._search, query, vector)
        with tracer.span("embed", "embedding", model=self._embedder.name, input=query.text):
            vector = await self._embed(query.text)
        with tracer.span("search", "retriever", query=query.text, limit=query.limit) as span:
            result = await asyncio.to_thread(self._search, query, vector)
            span.set(generation=result.generation, hits=[hit_attributes(hit) for hit in result.hits])
            return result

    async def _embed(self, question: str) -> NDArray[np.float32]:
        embeddings = await self._embedder.embed([question], urgent=True, kind="query")
        vector: NDArray[np.float32] = embeddings.vectors[0]
        return vector

    def warm(self) -> None:
        """Loads the vectors of the published generation, so that the first question does not wait for them."""
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            self._indexes.get(reader, reader.published())

    def _search(self, query: Query, vector: NDArray[np.float32]) -> SearchResult:
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            wanted = query.generation
            generation = reader.published() if wanted is None else reader.generation(wanted)
            question = question_terms(query.text)
            counts = reader.term_counts([term.phrase for term in question])
            weights = WordWeights.of(question, counts, generation.chunks)
            allowed = reader.allowed(Scope(generation.number, query.reader, query.filter))
            matches = reader.text_matches(
                generation.number, match_expression(question, counts), TEXT_CANDIDATES, allowed
            )
            shares = {row: weights.bm25_share(score) for row, score in matches}
            passages = None if allowed is None else reader.passages_of(generation.number, allowed)
            within = Within(generation, passages, max(LOOKED_AT, query.limit))
            candidates = self._candidates(reader, within, vector, shares)
            stored = reader.chunks([candidate.row for candidate in candidates])
        hits = [
            self._hit(stored[candidate.row], candidate, weights)
            for candidate in candidates
            if candidate.row in stored
        ]
        hits.sort(key=lambda hit: -hit.score)
        return SearchResult(hits=tuple(hits[: query.limit]), generation=generation.number, vector=vector)

    def _candidates(
        self,
        reader: SqliteReader,
        within: Within,
        vector: NDArray[np.float32],
        shares: Mapping[int, float],
    ) -> list[Candidate]:
        """The best passages by their vectors and BM25, in the order of both mixed."""
        if within.generation.fingerprint != self._embedder.fingerprint:
            # Another embedder made the stored vectors: until the next run words alone must do.
            return [Candidate(row, None, share) for row, share in list(shares.items())[: within.limit]]
        index = self._indexes.get(reader, within.generation)
        cosines = index.scores(vector)
        bm25 = aligned(index, shares)
        mixed = VECTOR_WEIGHT * np.clip(cosines, 0.0, 1.0) + (1 - VECTOR_WEIGHT) * bm25
        if within.passages is not None:
            mixed = np.where(np.isin(index.found.rows, within.passages), mixed, -1.0)
        return [
            Candidate(int(index.found.rows[at]), float(cosines[at]), float(bm25[at]))
            for at in best_first(mixed, within.limit)
            if mixed[at] >= 0
        ]

    def _hit(self, chunk: StoredChunk, candidate: Candidate, weights: WordWeights) -> Hit:
        text_score = text_share(candidate.bm25, self._words.coverage(chunk, weights))
        cosine = candidate.cosine
        return Hit(
            chunk_id=chunk.id,
            document_id=chunk.document_id,
            document=chunk.document,
            title=chunk.title,
            heading=chunk.heading,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
            score=text_score if cosine is None else mix(cosine, text_score),
            vector_score=cosine,
            text_score=text_score,
            location=chunk.location,
            parent=chunk.parent,
            url=chunk.url,
            metadata=chunk.metadata,
        )


def mix(cosine: float, text_score: float) -> float:
    """The convex mix of both scores, 0 to 1."""
    return VECTOR_WEIGHT * min(1.0, max(0.0, cosine)) + (1 - VECTOR_WEIGHT) * text_score


def aligned(index: VectorIndex, shares: Mapping[int, float]) -> NDArray[np.float32]:
    """Text scores in the order of the index, 0 where no word matched."""
    scores = np.zeros(len(index.found.rows), dtype=np.float32)
    if shares and len(scores):
        at = index.positions(np.array(list(shares), dtype=np.int64))
        values = np.array(list(shares.values()), dtype=np.float32)
        scores[at[at >= 0]] = values[at >= 0]
    return scores


def best_first(scores: NDArray[np.float32], limit: int) -> list[int]:
    """Positions of the highest scores; equal ones in the order of the documents."""
    limit = min(limit, len(scores))
    if limit <= 0:
        return []
    threshold = np.partition(scores, -limit)[-limit]
    candidates = np.flatnonzero(scores >= threshold)
    order = np.argsort(-scores[candidates], kind="stable")
    return [int(at) for at in candidates[order][:limit]]


def hit_attributes(hit: Hit) -> dict[str, object]:
    return {
        "chunk": hit.chunk_id,
        "document": hit.document,
        "document_id": hit.document_id,
        "heading": hit.heading,
        "page": hit.page,
        "start": hit.start,
        "end": hit.end,
        "score": round(hit.score, 4),
        "vector_score": None if hit.vector_score is None else round(hit.vector_score, 4),
        "text_score": round(hit.text_score, 4),
    }
