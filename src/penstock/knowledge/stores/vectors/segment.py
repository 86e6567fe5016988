"""Passages that came together: rows, vectors, and what is known of their documents. Nothing in it ever changes.

What a generation no longer shows is masked by whoever looks (`Part`), so that generations share their segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.stores.vectors.columns import DocumentTable, Mask
from penstock.knowledge.stores.vectors.exact import (
    Positions,
    Scores,
    Vector,
    Vectors,
    highest,
    rescored,
    scan,
    scan_at,
    sifted,
    spared,
)
from penstock.knowledge.stores.vectors.graph import Graph

Rows = NDArray[np.int64]
T = TypeVar("T", bound=np.generic)
FEW = 20_000
"""So many passages are looked at one by one, sooner than a graph finds them among all others."""
SCATTERED = 3
"""How many passages in order take as long as one out of order."""
GROWTH = 4
MOST_EXPANDED = 4096


class Segment(Struct, frozen=True):
    """`rows` ascending (n,), `vectors` (n, dimensions), `owners` (n,): each passage's place in `documents`."""

    rows: Rows
    vectors: Vectors
    owners: NDArray[np.int32]
    documents: DocumentTable
    graph: Graph | None = None

    @property
    def bytes(self) -> int:
        own = self.rows.nbytes + self.vectors.nbytes + self.owners.nbytes
        return own if self.graph is None else own + self.graph.bytes

    def positions(self, rows: Rows, among: Mask | None = None) -> Positions:
        """Where these rows stand; -1 for those that are not here, or not among the chosen ones."""
        if not len(self.rows):
            return np.full(len(rows), -1)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        here = self.rows[at] == rows
        return np.where(here if among is None else here & among[at], at, -1)


class Found(Struct, frozen=True):
    """Passages of one segment with their cosines, in no order."""

    positions: Positions
    scores: Scores


class Part(Struct, frozen=True):
    """What one generation shows of a segment: `live` `None` for all of it."""

    segment: Segment
    live: Mask | None = None

    @property
    def count(self) -> int:
        return len(self.segment.rows) if self.live is None else int(np.count_nonzero(self.live))

    @property
    def mostly_live(self) -> bool:
        return self.live is None or 2 * self.count > len(self.segment.rows)

    def without(self, gone: Rows) -> Part:
        at = self.segment.positions(gone)
        at = at[at >= 0]
        if not len(at):
            return self
        live = np.ones(len(self.segment.rows), dtype=np.bool_) if self.live is None else self.live.copy()
        live[at] = False
        return Part(self.segment, live)

    def chosen(self, documents: Mask | None) -> Mask | None:
        """The live passages of some documents; `None` for all."""
        if documents is None:
            return self.live
        owned: Mask = documents[self.segment.owners]
        return owned if self.live is None else owned & self.live

    def find(self, vector: Vector, k: int, chosen: Mask | None) -> Found:
        """At least the `k` nearest of the chosen passages, or all of them where there are fewer."""
        segment = self.segment
        count = len(segment.rows) if chosen is None else int(np.count_nonzero(chosen))
        if segment.graph is not None and count > max(FEW, k):
            found = self._through_graph(segment.graph, vector, Wanted(k, count, chosen))
            if found is not None:
                return found
        return self._one_by_one(vector, k, chosen, count)

    def _one_by_one(self, vector: Vector, k: int, chosen: Mask | None, count: int) -> Found:
        segment = self.segment
        if chosen is None:
            at = highest(scan(segment.vectors, vector), spared(k))
        elif count <= spared(k):
            at = np.flatnonzero(chosen)
        elif SCATTERED * count > len(segment.rows):
            at = np.flatnonzero(chosen)
            at = at[highest(scan(segment.vectors, vector)[at], spared(k))]
        else:
            positions = np.flatnonzero(chosen)
            at = positions[highest(scan_at(segment.vectors, positions, vector), spared(k))]
        return Found(at, rescored(segment.vectors, at, vector))

    def _through_graph(self, graph: Graph, vector: Vector, wanted: Wanted) -> Found | None:
        """What the graph finds, looked for ever wider; `None` where too few of the chosen are near the vector."""
        total = len(self.segment.rows)
        enough = graph.expansion_for(wanted.k)
        expansion = -(-enough * total // wanted.count)
        while expansion <= min(MOST_EXPANDED, total):
            at = graph.search(vector, expansion)
            if wanted.chosen is not None:
                at = at[wanted.chosen[at]]
            if wanted.chosen is None or 2 * len(at) >= enough:
                if len(at) < wanted.k:
                    return None
                at = sifted(self.segment.vectors, at, vector, wanted.k)
                return Found(at, rescored(self.segment.vectors, at, vector))
            expansion *= GROWTH
        return None


class Wanted(Struct, frozen=True):
    """How many passages, out of how many chosen ones."""

    k: int
    count: int
    chosen: Mask | None


def joined(parts: Sequence[Part]) -> Segment:
    """The live passages of several parts as one segment, by row."""
    tables, owners, shift = [], [], 0
    for part in parts:
        own = part.segment.owners if part.live is None else part.segment.owners[part.live]
        used, places = np.unique(own, return_inverse=True)
        tables.append((part.segment.documents, used.astype(np.int64)))
        owners.append((places + shift).astype(np.int32))
        shift += len(used)
    rows = np.concatenate([kept(part.segment.rows, part.live) for part in parts])
    order = np.argsort(rows, kind="stable")
    vectors = np.concatenate([kept(part.segment.vectors, part.live) for part in parts])
    return Segment(rows[order], vectors[order], np.concatenate(owners)[order], DocumentTable.joined(tables))


def kept(values: NDArray[T], live: Mask | None) -> NDArray[T]:
    return values if live is None else values[live]
