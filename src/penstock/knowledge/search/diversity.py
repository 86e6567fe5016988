"""Passages that differ from each other (maximal marginal relevance, Carbonell and Goldstein 1998)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.values import Hit, Query


def diverse(reader: SqliteReader, hits: Sequence[Hit], query: Query) -> list[Hit]:
    """The hits in the order in which each says something new, by as much as the query wants."""
    vectors = reader.vectors_of([hit.chunk_id for hit in hits])
    known = [vectors.get(hit.chunk_id) for hit in hits]
    chosen = marginal([hit.score for hit in hits], likeness(known), query.diversity)
    return [hits[at] for at in chosen]


def likeness(vectors: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """The cosine of each pair, 0 where one has no vector."""
    width = max((len(vector) for vector in vectors if vector is not None), default=1)
    matrix = np.zeros((len(vectors), width), dtype=np.float32)
    for at, vector in enumerate(vectors):
        if vector is not None and len(vector) == width:
            matrix[at] = vector
    cosines: NDArray[np.float32] = np.clip(matrix @ matrix.T, 0.0, 1.0)
    return cosines


def marginal(scores: Sequence[float], alike: NDArray[np.float32], diversity: float) -> list[int]:
    """All positions: next is always the one with the best balance of score and difference from those before."""
    worth = np.asarray(scores, dtype=np.float64)
    nearest = np.zeros(len(worth))
    left = np.ones(len(worth), dtype=bool)
    order = []
    for _ in range(len(worth)):
        balance = np.where(left, (1 - diversity) * worth - diversity * nearest, -np.inf)
        at = int(np.argmax(balance))
        order.append(at)
        left[at] = False
        nearest = np.maximum(nearest, alike[at])
    return order
