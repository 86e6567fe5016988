"""The nearest passages of a scope among all vectors of a generation, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.search.mixing import best_first
from penstock.knowledge.stores.index import VectorIndex, VectorIndexes
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import EVERYTHING, Scope
from penstock.seams import VectorHits


class ScannedVectors:
    """The read side of a `seams.VectorStore`."""

    def __init__(self, store: SqliteStore, dimensions: int) -> None:
        self._store = store
        self._indexes = VectorIndexes(dimensions)

    def warm(self) -> None:
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            self._indexes.get(reader, reader.published())

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits:
        return await asyncio.to_thread(self._search, vector, k, scope)

    async def cosines(
        self, vector: NDArray[np.float32], rows: Sequence[int], generation: int
    ) -> NDArray[np.float32]:
        return await asyncio.to_thread(self._cosines, vector, rows, generation)

    def _search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits:
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            index = self._indexes.get(reader, reader.generation(scope.generation))
            rows, cosines = index.found.rows, index.scores(vector)
            if scope.reader != EVERYTHING or scope.filter is not None:
                allowed = np.isin(rows, reader.in_scope(rows, scope))
                rows, cosines = rows[allowed], cosines[allowed]
        best = best_first(cosines, k)
        return VectorHits(rows[best], cosines[best])

    def _cosines(self, vector: NDArray[np.float32], rows: Sequence[int], generation: int) -> NDArray[np.float32]:
        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            index: VectorIndex = self._indexes.get(reader, reader.generation(generation))
        at = index.positions(np.asarray(rows, dtype=np.int64))
        found = np.full(len(rows), np.nan, dtype=np.float32)
        found[at >= 0] = index.found.vectors[at[at >= 0]] @ vector
        return found
