"""A question to the passages that fit it best: words by BM25, meaning by vectors, mixed convexly.

Both scores are brought to 0..1 against the best of this question before they are mixed, so that neither
scale rules the other. The weight was chosen on SQuAD 2.0 paragraphs that are not in the retrieval benchmark.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.stores.index import VectorIndex, VectorIndexes
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.terms import STOP_WORDS, UNSPACED
from penstock.knowledge.values import Hit, SearchResult
from penstock.seams import Embedder, Tracer

VECTOR_WEIGHT = 0.5
TEXT_CANDIDATES = 500
MAX_TERMS = 64


class Query(Struct, frozen=True):
    """What to look for, in which generation (`None` is the published one), and how many passages to return."""

    text: str
    limit: int = 5
    generation: int | None = None


class Searcher:
    """Hybrid search over one store. A search sees one generation from beginning to end."""

    def __init__(self, store: SqliteStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._indexes = VectorIndexes(embedder.dimensions)

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
        embeddings = await self._embedder.embed([question], urgent=True)
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
            scored = self._score(reader, generation, query, vector)
            stored = reader.chunks([row for row, *_ in scored]) if scored else {}
        hits = tuple(
            Hit(
                chunk_id=chunk.id,
                document_id=chunk.document_id,
                document=chunk.document,
                title=chunk.title,
                heading=chunk.heading,
                page=chunk.page,
                start=chunk.start,
                end=chunk.end,
                text=chunk.text,
                score=score,
                vector_score=vector_score,
                text_score=text_score,
            )
            for row, score, vector_score, text_score in scored
            if (chunk := stored.get(row)) is not None
        )
        return SearchResult(hits=hits, generation=generation.number, vector=vector)

    def _score(
        self, reader: SqliteReader, generation: Published, query: Query, vector: NDArray[np.float32]
    ) -> list[tuple[int, float, float | None, float]]:
        """The best rows with their mixed, vector and text scores."""
        match = match_expression(query.text)
        matches = reader.text_matches(generation.number, match, TEXT_CANDIDATES) if match else []
        if generation.fingerprint != self._embedder.fingerprint:
            # Another embedder made the stored vectors: until the next run words alone must do.
            best = matches[0][1] if matches else 1.0
            return [(row, score / best, None, score) for row, score in matches[: query.limit]]
        index = self._indexes.get(reader, generation)
        cosines = index.scores(vector)
        text_scores = aligned(index, matches)
        mixed = mix(cosines, text_scores)
        return [
            (int(index.found.rows[at]), float(mixed[at]), float(cosines[at]), float(text_scores[at]))
            for at in best_first(mixed, query.limit)
        ]


def mix(cosines: NDArray[np.float32], text_scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The convex mix of both scores, 0 to 1."""
    best = float(text_scores.max(initial=0.0)) or 1.0
    mixed: NDArray[np.float32] = (
        VECTOR_WEIGHT * np.clip(cosines, 0.0, 1.0) + (1 - VECTOR_WEIGHT) * text_scores / best
    )
    return mixed


def aligned(index: VectorIndex, matches: Sequence[tuple[int, float]]) -> NDArray[np.float32]:
    """Text scores in the order of the index, 0 where no word matched."""
    scores = np.zeros(len(index.found.rows), dtype=np.float32)
    if matches and len(scores):
        at = index.positions(np.array([row for row, _ in matches], dtype=np.int64))
        values = np.array([score for _, score in matches], dtype=np.float32)
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


def match_expression(question: str) -> str:
    """An FTS5 expression for any of a question's words, whatever the question contains; "" for none.

    Only letters, digits and marks get through, each word as a quoted string, so nothing in a question is an
    operator. Words that say nothing are left out, unless there are no others.
    """
    folded = question.casefold()
    found = dict.fromkeys(word for word in spaced(folded).split() if word)
    telling = [word for word in found if word not in STOP_WORDS] or list(found)
    return " OR ".join(f'"{word}"' for word in telling[:MAX_TERMS])


def spaced(folded: str) -> str:
    """Everything but letters, digits and marks as a space; runs of unspaced scripts as pairs of characters."""
    plain = "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in folded)
    return UNSPACED.sub(lambda match: f" {pairs(match.group())} ", plain)


def pairs(run: str) -> str:
    return " ".join(run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else run


def hit_attributes(hit: Hit) -> dict[str, object]:
    return {
        "chunk": hit.chunk_id,
        "document": hit.document,
        "document_id": hit.document_id,
        "start": hit.start,
        "end": hit.end,
        "score": round(hit.score, 4),
        "vector_score": None if hit.vector_score is None else round(hit.vector_score, 4),
        "text_score": round(hit.text_score, 4),
    }
