"""HNSW over a segment (usearch): vectors as 8-bit integers, candidates to be scored again by whoever asks.

How many of the true neighbours a graph finds is measured when it is made; one that finds too few is never used.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.stores.vectors.exact import Positions, Vector, Vectors, rescored

if TYPE_CHECKING:
    from usearch.index import Index

CONNECTIVITY = 32
"""Neighbours of a vector (twice as many on the ground floor). With 16, a graph of 1,000,000 passages never finds
0.98 of the nearest, and one of 100,000 takes a third longer than with 32 to find as many."""
EXPANSION_ADD = 192
TARGET = 0.98
"""Share of the ten nearest that a graph must find for mixtures of passages. Those are harder than questions: of
50,000 passages, a graph that found 0.98 for them found 0.992 for questions of SQuAD."""
EXPANSIONS = (48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 1024)
MEASURED_WITH = 200
NEAREST = 10
ADDED_AT_ONCE = 2_000
SCORED_AT_ONCE = 16_384
FULL = 127


class GraphShape(Struct, frozen=True):
    """What it takes to read a graph: `scale` turns a vector's values into 8-bit integers, `expansion` is how many
    candidates a search looks at for ten results, `recall` how many of the true ten it found so."""

    dimensions: int
    scale: float
    expansion: int = 0
    recall: float = 0.0


class Graph:
    """A graph that lies in memory or in a mapped file, for any number of threads."""

    def __init__(self, shape: GraphShape, content: memoryview, viewers: int | None = None) -> None:
        self.shape = shape
        self._content = content  # the indexes below look into it
        self._viewers: queue.SimpleQueue[Index] = queue.SimpleQueue()
        for _ in range(viewers or min(4, os.cpu_count() or 1)):
            index = new_index(shape.dimensions)
            index.view(content)
            self._viewers.put(index)

    @property
    def bytes(self) -> int:
        return len(self._content)

    @property
    def content(self) -> memoryview:
        """As it was saved."""
        return self._content

    def expansion_for(self, k: int) -> int:
        """How many candidates a search for `k` results looks at."""
        return max(self.shape.expansion, 2 * k)

    def search(self, vector: Vector, expansion: int) -> Positions:
        """The positions of about `expansion` near vectors."""
        # One search at a time in each viewer: their scratch space is not shared between threads.
        viewer = self._viewers.get()
        try:
            found = viewer.search(quantized(vector[None], self.shape.scale)[0], expansion, threads=1)
        finally:
            self._viewers.put(viewer)
        return np.asarray(found.keys).astype(np.int64)


class GraphBuilder:
    """Adds vectors to a graph in memory, a few at a time."""

    def __init__(self, shape: GraphShape, threads: int) -> None:
        self.shape = shape
        self._threads = threads
        self._index = new_index(shape.dimensions)

    @classmethod
    def empty(cls, vectors: Vectors, threads: int) -> GraphBuilder:
        """For vectors like these."""
        return cls(GraphShape(vectors.shape[1], scale_of(vectors)), threads)

    @classmethod
    def continued(cls, graph: Graph, threads: int) -> GraphBuilder:
        """Goes on with a copy of a graph."""
        builder = cls(graph.shape, threads)
        builder._index.load(graph.content)
        return builder

    @property
    def size(self) -> int:
        """How many vectors are in it."""
        return len(self._index)

    def add(self, vectors: Vectors, first: int, go_on: Callable[[], bool]) -> bool:
        """Adds vectors as positions from `first` on; false where `go_on` said no between two pieces."""
        for start in range(0, len(vectors), ADDED_AT_ONCE):
            if not go_on():
                return False
            piece = quantized(vectors[start : start + ADDED_AT_ONCE].astype(np.float32), self.shape.scale)
            keys = np.arange(first + start, first + start + len(piece), dtype=np.uint64)
            self._index.add(keys, piece, threads=self._threads)
        return True

    def save(self, path: Path) -> None:
        self._index.save(path)

    def tuned(self, vectors: Vectors, live: NDArray[np.bool_] | None, target: float) -> GraphShape:
        """The shape with the least expansion that finds the target's share of the true ten nearest, else with the
        most there is, and the share that it found."""
        queries = mixtures(vectors)
        truth = nearest(vectors, queries, live)
        recall = 0.0
        for expansion in EXPANSIONS:
            found = [best_of(vectors, self._search(query, expansion, live), query) for query in queries]
            hits = sum(len(np.intersect1d(*pair)) for pair in zip(found, truth, strict=True))
            recall = hits / max(1, truth.size)
            if recall >= target:
                break
        return GraphShape(self.shape.dimensions, self.shape.scale, expansion, recall)

    def _search(self, query: Vector, expansion: int, live: NDArray[np.bool_] | None) -> Positions:
        found = self._index.search(quantized(query[None], self.shape.scale)[0], expansion, threads=1)
        at = np.asarray(found.keys).astype(np.int64)
        return at if live is None else at[live[at]]


def best_of(vectors: Vectors, at: Positions, query: Vector) -> Positions:
    return at[np.argsort(-rescored(vectors, at, query))[:NEAREST]]


def new_index(dimensions: int) -> Index:
    # Not before it is needed: Ray's library does not start in a process that loaded this one first.
    from usearch.index import Index

    return Index(
        ndim=dimensions,
        metric="ip",
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=1,  # what a search asks for is what it looks at
        enable_key_lookups=False,
    )


def scale_of(vectors: Vectors) -> float:
    """What brings nearly all values of vectors like these into the range of 8 bits."""
    sample = vectors[:: max(1, len(vectors) // 4096)].astype(np.float32)
    return FULL / max(1e-6, float(np.quantile(np.abs(sample), 0.9999)))


def quantized(vectors: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
    levels: NDArray[np.int8] = np.clip(np.rint(vectors * np.float32(scale)), -FULL, FULL).astype(np.int8)
    return levels


def mixtures(vectors: Vectors) -> NDArray[np.float32]:
    """Queries to measure with: each between two stored vectors, nearer to one of them, and nudged. The same for the
    same vectors."""
    chance = np.random.default_rng(0)
    first, second = chance.integers(len(vectors), size=(2, MEASURED_WITH))
    share = chance.uniform(0.5, 1.0, size=(MEASURED_WITH, 1)).astype(np.float32)
    mixed = share * vectors[first].astype(np.float32) + (1 - share) * vectors[second].astype(np.float32)
    mixed += chance.normal(0, 0.3 / np.sqrt(vectors.shape[1]), size=mixed.shape).astype(np.float32)
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.asarray(mixed / np.maximum(lengths, 1e-6), dtype=np.float32)


def nearest(vectors: Vectors, queries: NDArray[np.float32], live: NDArray[np.bool_] | None) -> Positions:
    """The true nearest of each query, by looking at every vector."""
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    places = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), SCORED_AT_ONCE):
        piece = queries @ vectors[start : start + SCORED_AT_ONCE].astype(np.float32).T
        if live is not None:
            piece[:, ~live[start : start + SCORED_AT_ONCE]] = -np.inf
        at = np.broadcast_to(np.arange(start, start + piece.shape[1]), piece.shape)
        scores, places = np.concatenate([scores, piece], axis=1), np.concatenate([places, at], axis=1)
        best = np.argpartition(scores, max(0, scores.shape[1] - NEAREST), axis=1)[:, -NEAREST:]
        scores, places = np.take_along_axis(scores, best, 1), np.take_along_axis(places, best, 1)
    return places


def threads_for_building() -> int:
    """One core is left to those who search meanwhile."""
    return max(1, (os.cpu_count() or 1) - 1)
