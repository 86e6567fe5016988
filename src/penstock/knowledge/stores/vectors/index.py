"""The passages of one generation, searched by vector: the `k` nearest that a reader may find."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors.columns import Mask
from penstock.knowledge.stores.vectors.exact import Scores, Vector, rescored
from penstock.knowledge.stores.vectors.segment import Part, Rows
from penstock.knowledge.values import Scope
from penstock.seams import VectorHits

SCOPES_KEPT = 16
ALIKE = 1e-6
"""Cosines nearer to each other than this are the same: then the earlier passage comes first."""

Masks = tuple[Mask | None, ...]


class IndexStats(Struct, frozen=True, kw_only=True):
    """How vectors are searched. `graph_rows` are behind the graph (HNSW), the others are looked at one by one;
    `recall` is the share of the true ten nearest that the graph found when it was made, `expansion` how many
    candidates it takes for that. `bytes` counts vectors and graph, `mapped` those of them that lie in a file.
    `note` says why there is no graph where one would be due."""

    generation: int
    rows: int
    graph_rows: int
    recall: float | None
    expansion: int | None
    bytes: int
    mapped: int
    building: bool = False
    note: str = ""


class VectorIndex:
    """What one generation shows, as parts of segments. Never changes, and is safe to use from several threads."""

    def __init__(self, generation: Published, parts: tuple[Part, ...]) -> None:
        self.generation = generation
        self.parts = parts
        self._lock = threading.Lock()
        self._scopes: OrderedDict[Hashable, Masks] = OrderedDict()

    def __len__(self) -> int:
        return sum(part.count for part in self.parts)

    def search(self, vector: Vector, k: int, scope: Scope) -> VectorHits:
        """The `k` nearest passages that the scope lets through, best first; fewer only where there are fewer.

        `vector` is float32 of length 1.
        """
        found = [
            (part, part.find(vector, k, mask)) for part, mask in zip(self.parts, self._masks(scope), strict=True)
        ]
        if not found:
            return VectorHits(np.zeros(0, np.int64), np.zeros(0, np.float32))
        rows = np.concatenate([part.segment.rows[each.positions] for part, each in found])
        scores = np.concatenate([each.scores for _, each in found])
        order = np.lexsort((rows, -np.rint(scores / ALIKE)))[:k]
        return VectorHits(rows[order], scores[order])

    def cosines(self, vector: Vector, rows: Rows, scope: Scope) -> Scores:
        """The cosine of each of these rows, float32; NaN for one that the scope does not let through."""
        cosines = np.full(len(rows), np.nan, dtype=np.float32)
        for part, mask in zip(self.parts, self._masks(scope), strict=True):
            at = part.segment.positions(rows, mask)
            here = np.flatnonzero(at >= 0)
            cosines[here] = rescored(part.segment.vectors, at[here], vector)
        return cosines

    def allowed(self, rows: Rows, scope: Scope) -> Mask:
        """Which of these rows the scope lets through."""
        allowed = np.zeros(len(rows), dtype=np.bool_)
        for part, mask in zip(self.parts, self._masks(scope), strict=True):
            allowed |= part.segment.positions(rows, mask) >= 0
        return allowed

    def count(self, scope: Scope) -> int:
        """How many passages the scope lets through."""
        masks = zip(self.parts, self._masks(scope), strict=True)
        return sum(len(part.segment.rows) if mask is None else int(np.count_nonzero(mask)) for part, mask in masks)

    def rows(self) -> NDArray[np.int64]:
        """Every row, ascending."""
        live = [part.segment.rows if part.live is None else part.segment.rows[part.live] for part in self.parts]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *live]))

    def stats(self) -> IndexStats:
        graphs = [part for part in self.parts if part.segment.graph is not None]
        shapes = [part.segment.graph.shape for part in graphs if part.segment.graph is not None]
        return IndexStats(
            generation=self.generation.number,
            rows=len(self),
            graph_rows=sum(part.count for part in graphs),
            recall=min((shape.recall for shape in shapes), default=None),
            expansion=max((shape.expansion for shape in shapes), default=None),
            bytes=sum(part.segment.bytes for part in self.parts),
            mapped=sum(part.segment.bytes for part in graphs),
        )

    def _masks(self, scope: Scope) -> Masks:
        """The passages that a scope lets through, one mask for each part."""
        if scope.generation != self.generation.number:
            raise ValueError(f"generation {scope.generation} is not in the index of {self.generation.number}")
        if scope.filter is None and scope.reader.tags is None:
            return tuple(part.live for part in self.parts)
        # 1, 1.0 and true are equal and not the same filter: the text tells them apart.
        key = (scope.reader, repr(scope.filter))
        with self._lock:
            masks = self._scopes.get(key)
            if masks is not None:
                self._scopes.move_to_end(key)
                return masks
        masks = tuple(part.chosen(part.segment.documents.mask(scope.reader, scope.filter)) for part in self.parts)
        with self._lock:
            self._scopes[key] = masks
            while len(self._scopes) > SCOPES_KEPT:
                self._scopes.popitem(last=False)
        return masks
