"""The vectors of a knowledge base in its own file, searched in this process: the store that needs no service.

It only reads: vectors are written with their documents, in the same transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors.exact import Scores, Vector
from penstock.knowledge.stores.vectors.index import IndexStats, VectorIndex
from penstock.knowledge.stores.vectors.indexes import DEFAULT_OPTIONS, IndexOptions, VectorIndexes
from penstock.knowledge.stores.vectors.segment import Rows
from penstock.knowledge.values import EVERYTHING, Scope
from penstock.seams import VectorHits


class EmbeddedVectors:
    """Raises `NotFound` for a generation that is not kept."""

    def __init__(self, store: SqliteStore, options: IndexOptions = DEFAULT_OPTIONS) -> None:
        self._store = store
        self._indexes = VectorIndexes(store.database, store.project_id, options)

    def warm(self) -> None:
        """Loads the published generation, and begins its graph where one is due."""
        with self._store.database.read() as connection:
            published = SqliteReader(connection, self._store.project_id).published()
            self._indexes.get(connection, published)

    def index(self, generation: int) -> VectorIndex:
        """What a generation shows, for whoever searches in a thread of its own; loading it takes a while."""
        known = self._indexes.loaded(generation)
        if known is not None:
            return known
        with self._store.database.read() as connection:
            kept = SqliteReader(connection, self._store.project_id).generation(generation)
            return self._indexes.get(connection, kept)

    def loaded(self, generation: int) -> VectorIndex | None:
        """The same if it is in memory."""
        return self._indexes.loaded(generation)

    async def search(self, vector: Vector, k: int, scope: Scope) -> VectorHits:
        """The `k` nearest passages that the scope lets through; fewer only where there are fewer."""
        return await asyncio.to_thread(lambda: self.index(scope.generation).search(vector, k, scope))

    async def cosines(self, vector: Vector, rows: Sequence[int], generation: int) -> Scores:
        """The cosine of each of these rows, NaN for one that the generation does not show."""
        everything = Scope(generation, EVERYTHING)
        wanted = np.asarray(rows, dtype=np.int64)
        return await asyncio.to_thread(lambda: self.index(generation).cosines(vector, wanted, everything))

    async def rows(self, generation: int) -> Rows:
        """Every row that a generation shows, ascending."""
        return await asyncio.to_thread(lambda: self.index(generation).rows())

    def stats(self) -> IndexStats | None:
        """How the newest generation in memory is searched; `None` before the first search."""
        return self._indexes.stats()

    def wait(self) -> None:
        """Returns when no graph is being made."""
        self._indexes.wait()

    def forget(self) -> None:
        """Drops what is in memory and the graph's file, after a repair of what they were made from."""
        self._indexes.forget()

    def close(self) -> None:
        """Gives up on a graph that is being made. The database stays the caller's."""
        self._indexes.close()
