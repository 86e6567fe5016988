"""The vectors of a generation in memory, scanned exactly.

They are loaded once; a new generation costs what it changed. Older generations that somebody pins are kept
beside the newest, two at most.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import Published, VectorRows

KEPT = 3


class VectorIndex(Struct, frozen=True):
    """Passages of one generation by ascending row, each vector of length 1."""

    generation: Published
    found: VectorRows

    def scores(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosine of every passage to a vector of length 1, in the order of the rows."""
        scores: NDArray[np.float32] = self.found.vectors @ vector
        return scores

    def positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where these rows stand; -1 for those that are not in the index."""
        known = self.found.rows
        if not len(known):
            return np.full(len(rows), -1)
        at = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        return np.where(known[at] == rows, at, -1)


class VectorIndexes:
    """The indexes in memory, by generation. Safe to use from several threads."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._lock = threading.Lock()
        self._indexes: OrderedDict[Published, VectorIndex] = OrderedDict()

    def get(self, reader: SqliteReader, generation: Published) -> VectorIndex:
        """The index of a generation, made from an earlier one in memory where there is one."""
        with self._lock:
            index = self._indexes.get(generation)
            if index is None:
                index = self._make(reader, generation)
                self._indexes[generation] = index
            self._indexes.move_to_end(generation)
            while len(self._indexes) > KEPT:
                self._indexes.popitem(last=False)
            return index

    def _make(self, reader: SqliteReader, generation: Published) -> VectorIndex:
        earlier = [
            known
            for known in self._indexes
            if known.fingerprint == generation.fingerprint and known.number < generation.number
        ]
        if not earlier:
            return VectorIndex(generation, reader.vectors(generation, self._dimensions))
        base = self._indexes[max(earlier, key=lambda known: known.number)]
        gone = reader.removed_since(generation.number, base.generation.number)
        kept = ~np.isin(base.found.rows, np.asarray(gone, dtype=np.int64))
        new = reader.vectors_since(generation, self._dimensions, base.generation.number)
        rows = np.concatenate([base.found.rows[kept], new.rows])
        order = np.argsort(rows, kind="stable")
        vectors = np.concatenate([base.found.vectors[kept], new.vectors])
        return VectorIndex(generation, VectorRows(rows[order], vectors[order]))
