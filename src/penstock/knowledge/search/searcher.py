"""One search: question → candidates by words and by vectors → mixed → read and scored → what the query asks for.

    by words   the passages with the rarest words of the question (`words.py`)
    by vectors the nearest of the scope, from whatever store has them
    mixed      both scores of each candidate; with the nearest `LOOKED_AT`, this ranks as a look at everything would
    scored     the candidates' words sentence by sentence (`lexical.py`)

A search sees one generation from beginning to end, and only what its reader may find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.knowledge.lexical import PassageWords
from penstock.knowledge.search.context import with_context
from penstock.knowledge.search.diversity import diverse
from penstock.knowledge.search.mixing import WEIGHTS, Candidate, best_candidates, joined, mix
from penstock.knowledge.search.reranking import READ, reranked
from penstock.knowledge.search.settings import DEFAULT_SETTINGS, SearchSettings
from penstock.knowledge.search.words import TermCounts, WordSearch, passages_with, phrasings
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import Published, StoredChunk
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Hit, Query, Scope, SearchResult
from penstock.seams import Embedder, Tracer, VectorHits

TEXT_CANDIDATES = 500
LOOKED_AT = 24
"""Passages that are compared sentence by sentence, best first by what is known before."""

DIVERSE_AMONG = 4
"""How many times as many passages as wanted are chosen from where they shall differ."""


class Plan(Struct, frozen=True):
    """What is known before vectors are asked: a phrasing each, with the passages that its words lead to."""

    generation: Published
    scope: Scope
    searches: tuple[WordSearch, ...]
    by_words: tuple[dict[int, float], ...]
    average: float


class SearchedVectors(Protocol):
    """The vectors of a knowledge base, wherever they are searched."""

    def warm(self) -> None: ...

    def forget(self) -> None: ...

    def close(self) -> None: ...

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits: ...

    async def cosines(
        self, vector: NDArray[np.float32], rows: Sequence[int], generation: int
    ) -> NDArray[np.float32]: ...


class Searcher:
    """Hybrid search over one store."""

    def __init__(
        self,
        store: SqliteStore,
        embedder: Embedder,
        vectors: SearchedVectors,
        settings: SearchSettings = DEFAULT_SETTINGS,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._settings = settings
        self._vectors = vectors
        self._counts = TermCounts()
        self._averages: dict[int, float] = {}
        self._words = PassageWords()

    def use(self, settings: SearchSettings) -> None:
        """How searches go from now on, where a query does not say."""
        self._settings = settings

    def warm(self) -> None:
        """Loads the vectors of the published generation, so that the first question does not wait for them."""
        self._vectors.warm()

    def forget(self) -> None:
        """Drops what is in memory, and the file of the graph: both are made anew."""
        self._vectors.forget()

    def close(self) -> None:
        """Ends what goes on in the background."""
        self._vectors.close()

    async def search(self, query: Query, tracer: Tracer | None = None) -> SearchResult:
        """Raises `NotFound` for a generation that is not kept, `InvalidRequest` for what is not set up."""
        self._settings.check(query)
        texts = phrasings(query.text, query.queries)
        if tracer is None:
            return await self._search(query, texts, await self._embed(query, texts), None)
        with tracer.span("embed", "embedding", model=self._embedder.name, input=query.text):
            vectors = await self._embed(query, texts)
        with tracer.span("search", "retriever", query=query.text, limit=query.limit, mode=query.mode) as span:
            result = await self._search(query, texts, vectors, span.tracer)
            span.set(generation=result.generation, hits=[hit_attributes(hit) for hit in result.hits])
            if query.reader.tags is not None:
                span.set(reader=list(query.reader.tags))
            if len(texts) > 1:
                span.set(queries=list(texts))
            return result

    async def _embed(self, query: Query, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector for each phrasing, none where vectors are not searched."""
        if query.mode == "text":
            return np.zeros((0, self._embedder.dimensions), dtype=np.float32)
        return (await self._embedder.embed(texts, urgent=True, kind="query")).vectors

    async def _search(
        self, query: Query, texts: Sequence[str], vectors: NDArray[np.float32], tracer: Tracer | None
    ) -> SearchResult:
        plan = await asyncio.to_thread(self._plan, query, texts)
        vector = vectors[0] if len(vectors) else np.zeros(0, dtype=np.float32)
        if plan.generation.fingerprint != self._embedder.fingerprint:
            # Another embedder made the stored vectors: until the next run words alone must do.
            query, vectors = replace(query, mode="text"), vectors[:0]
        weight = WEIGHTS.get(query.mode, self._settings.weight(query))
        chosen = await self._candidates(plan, vectors, weight, self._settings.pool(query, LOOKED_AT))
        hits = await asyncio.to_thread(self._read, plan, chosen, weight)
        if self._settings.reranks(query):
            hits = await reranked(self._settings.reranker, query.text, hits[: max(READ, query.limit)], tracer)
        hits = [hit for hit in hits if hit.score >= query.min_score]
        finished = await asyncio.to_thread(self._finish, query, plan.scope, hits)
        return SearchResult(hits=tuple(finished), generation=plan.generation.number, vector=vector)

    def _plan(self, query: Query, texts: Sequence[str]) -> Plan:
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            wanted = query.generation
            generation = reader.published() if wanted is None else reader.generation(wanted)
            scope = Scope(generation.number, query.reader, query.filter)
            searches = tuple(self._counts.search_for(text, reader, generation) for text in texts)
            by_words = tuple(
                {} if query.mode == "dense" else passages_with(search, reader, scope, TEXT_CANDIDATES)
                for search in searches
            )
            return Plan(generation, scope, searches, by_words, self._average(reader, generation))

    def _average(self, reader: SqliteReader, generation: Published) -> float:
        known = self._averages.get(generation.number)
        if known is None:
            self._averages = {generation.number: (known := reader.average_characters(generation))}
        return known

    async def _candidates(
        self, plan: Plan, vectors: NDArray[np.float32], weight: float, limit: int
    ) -> list[list[Candidate]]:
        """The best passages for each phrasing by what its words and its vector say of them."""
        chosen = []
        for at, by_words in enumerate(plan.by_words):
            if at >= len(vectors):
                found = [Candidate(row, None, share) for row, share in by_words.items()]
            else:
                found = await self._near(plan.scope, vectors[at], by_words, limit)
            chosen.append(best_candidates(found, weight, limit))
        return chosen

    async def _near(
        self, scope: Scope, vector: NDArray[np.float32], by_words: dict[int, float], limit: int
    ) -> list[Candidate]:
        """The nearest passages of a scope, and how near those are that the words lead to.

        Whatever is not among the `limit` nearest and has none of the words has `limit` passages above it.
        """
        nearest = await self._vectors.search(vector, limit, scope)
        near = nearest.rows.tolist()
        others = sorted(by_words.keys() - set(near))
        cosines = await self._vectors.cosines(vector, others, scope.generation)
        return joined([*near, *others], np.concatenate([nearest.cosines, cosines]), by_words)

    def _read(self, plan: Plan, chosen: Sequence[Sequence[Candidate]], weight: float) -> list[Hit]:
        """The candidates with their text and both scores, best first; each by the phrasing that it fits best."""
        rows = sorted({candidate.row for each in chosen for candidate in each})
        with self._store.database.read() as connection:
            stored = SqliteReader(connection, self._store.project_id).chunks(rows)
        best: dict[int, Hit] = {}
        for search, candidates in zip(plan.searches, chosen, strict=True):
            for candidate in candidates:
                chunk = stored.get(candidate.row)
                if chunk is None:
                    continue
                words = self._words.share(chunk, search.weights, plan.average)
                found = hit_of(chunk, candidate.cosine, words, weight)
                known = best.get(candidate.row)
                if known is None or found.score > known.score:
                    best[candidate.row] = found
        return [hit for _, hit in sorted(best.items(), key=lambda item: (-item[1].score, item[0]))]

    def _finish(self, query: Query, scope: Scope, hits: list[Hit]) -> list[Hit]:
        """Passages that differ, as many as wanted, and what stands around them."""
        if not (query.diversity or query.neighbours or query.expand):
            return hits[: query.limit]
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            if query.diversity:
                hits = diverse(reader, hits[: DIVERSE_AMONG * query.limit], query)
            return with_context(reader, scope, hits, query)[: query.limit]


def hit_of(chunk: StoredChunk, cosine: float | None, text_score: float, weight: float) -> Hit:
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
        score=text_score if cosine is None else mix(cosine, text_score, weight),
        vector_score=cosine,
        text_score=text_score,
        location=chunk.location,
        parent=chunk.parent,
        url=chunk.url,
        metadata=chunk.metadata,
    )


def hit_attributes(hit: Hit) -> dict[str, object]:
    attributes: dict[str, object] = {
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
    if hit.location:
        attributes["location"] = hit.location
    if hit.rerank_score is not None:
        attributes["rerank_score"] = round(hit.rerank_score, 4)
    return attributes
