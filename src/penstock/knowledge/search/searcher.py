"""One search: question → candidates by words and by vectors → mixed → read and scored → what the query asks for.

    by words   the passages with the rarest words of the question (`words.py`)
    by vectors the nearest of the scope, from whatever store has them
    mixed      both scores of each candidate; two dozen of them rank as a look at everything would
    scored     the candidates' words sentence by sentence (`scoring.py`, `lexical.py`)

A search sees one generation from beginning to end, and only what its reader may find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.knowledge.lexical import PassageWords
from penstock.knowledge.search.context import with_context
from penstock.knowledge.search.diversity import diverse
from penstock.knowledge.search.hits import hit_attributes
from penstock.knowledge.search.mixing import NOTHING, WEIGHTS, Candidates, Weighed, joined, unseen
from penstock.knowledge.search.plan import Asked, Plan, SearchedVectors, near
from penstock.knowledge.search.reranking import READ, reranked
from penstock.knowledge.search.scoring import scored
from penstock.knowledge.search.settings import DEFAULT_SETTINGS, SearchSettings, chosen_among
from penstock.knowledge.search.words import Allowed, TermCounts, passages_with, phrasings
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors.index import IndexStats
from penstock.knowledge.values import Hit, Query, Scope, SearchResult
from penstock.seams import Embedder, Tracer

TEXT_CANDIDATES = 500


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

    def stats(self) -> IndexStats | None:
        """How vectors are searched in this process; `None` while none are in memory."""
        return self._vectors.stats()

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
            return await self._search(Asked(query, texts, await self._embed(query, texts)), None)
        with tracer.span("embed", "embedding", model=self._embedder.name, input=query.text):
            vectors = await self._embed(query, texts)
        with tracer.span("search", "retriever", query=query.text, limit=query.limit, mode=query.mode) as span:
            result = await self._search(Asked(query, texts, vectors), span.tracer)
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

    async def _search(self, asked: Asked, tracer: Tracer | None) -> SearchResult:
        query = asked.query
        plan, hits = await asyncio.to_thread(self._found_here, asked)
        if hits is None:
            chosen = await self._found_elsewhere(plan)
            hits = await asyncio.to_thread(self._read_anew, plan, chosen)
        if self._settings.reranks(query):
            hits = await reranked(self._settings.reranker, query.text, hits[: max(READ, query.limit)], tracer)
        hits = [hit for hit in hits if hit.score >= query.min_score]
        if query.diversity or query.neighbours or query.expand:
            hits = await asyncio.to_thread(self._finish, query, plan.scope, hits)
        vector = asked.vectors[0] if len(asked.vectors) else np.zeros(0, dtype=np.float32)
        return SearchResult(hits=tuple(hits[: query.limit]), generation=plan.generation.number, vector=vector)

    def _found_here(self, asked: Asked) -> tuple[Plan, list[Hit] | None]:
        """All of a search in one thread and on one state of the database; no hits where vectors are elsewhere."""
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            wanted = asked.query.generation
            generation = reader.published() if wanted is None else reader.generation(wanted)
            # Where another embedder made the stored vectors, words alone must do until the next run.
            searches_vectors = len(asked.vectors) > 0 and generation.fingerprint == self._embedder.fingerprint
            index = self._vectors.index(generation.number) if searches_vectors else None
            plan = self._plan(asked, reader, generation, searches_vectors)
            if searches_vectors and index is None:
                return plan, None
            chosen = [
                (unseen(by_words) if index is None else near(index, plan, at)).best(plan.weight, plan.limit)
                for at, by_words in enumerate(plan.by_words)
            ]
            return plan, self._read(reader, plan, chosen)

    def _plan(self, asked: Asked, reader: SqliteReader, generation: Published, searches_vectors: bool) -> Plan:
        query = asked.query
        scope = Scope(generation.number, query.reader, query.filter)
        searches = tuple(self._counts.search_for(text, reader, generation) for text in asked.texts)
        allowed = self._allowed(reader, scope)
        goes_by = query if searches_vectors else replace(query, mode="text")
        by_words = tuple(
            NOTHING if goes_by.mode == "dense" else passages_with(search, reader, allowed, TEXT_CANDIDATES)
            for search in searches
        )
        return Plan(
            generation=generation,
            scope=scope,
            searches=searches,
            by_words=by_words,
            vectors=asked.vectors if searches_vectors else asked.vectors[:0],
            average=self._average(reader, generation),
            weight=WEIGHTS.get(goes_by.mode, self._settings.weight(query)),
            limit=self._settings.pool(goes_by),
            wanted=self._settings.wanted(query),
        )

    def _allowed(self, reader: SqliteReader, scope: Scope) -> Allowed:
        """What a scope lets through, by the index where that is in memory: it is many times as fast."""
        index = self._vectors.loaded(scope.generation)
        if index is None:
            return lambda rows: np.isin(rows, reader.in_scope(rows, scope))
        return lambda rows: index.allowed(rows, scope)

    def _average(self, reader: SqliteReader, generation: Published) -> float:
        known = self._averages.get(generation.number)
        if known is None:
            self._averages = {generation.number: (known := reader.average_characters(generation))}
        return known

    async def _found_elsewhere(self, plan: Plan) -> list[Candidates]:
        """The best passages for each phrasing by what its words and its vector say of them."""
        chosen = []
        for vector, by_words in zip(plan.vectors, plan.by_words, strict=True):
            nearest = await self._vectors.search(vector, plan.limit, plan.scope)
            cosines = await self._vectors.cosines(vector, by_words.rows.tolist(), plan.scope.generation)
            found = joined(Weighed(nearest.rows, nearest.cosines), cosines, by_words)
            chosen.append(found.best(plan.weight, plan.limit))
        return chosen

    def _read_anew(self, plan: Plan, chosen: Sequence[Candidates]) -> list[Hit]:
        with self._store.database.read() as connection:
            return self._read(SqliteReader(connection, self._store.project_id), plan, chosen)

    def _read(self, reader: SqliteReader, plan: Plan, chosen: Sequence[Candidates]) -> list[Hit]:
        stored = reader.chunks(np.unique(np.concatenate([each.rows for each in chosen])))
        return scored(plan, chosen, stored, self._words)

    def _finish(self, query: Query, scope: Scope, hits: list[Hit]) -> list[Hit]:
        """Passages that differ, and what stands around them."""
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            if query.diversity:
                hits = diverse(reader, hits[: chosen_among(query)], query)
            return with_context(reader, scope, hits, query)
