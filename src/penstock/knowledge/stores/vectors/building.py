"""Making a graph for an index: when it is worth it, from what, and how good it turned out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import Struct

from penstock.knowledge.stores.vectors import sidecar
from penstock.knowledge.stores.vectors.graph import Graph, GraphBuilder, GraphShape
from penstock.knowledge.stores.vectors.index import VectorIndex
from penstock.knowledge.stores.vectors.segment import Part, joined

MOSTLY_LIVE = 0.75
"""Share of a graph's passages that must still be shown for it to be continued."""


class Order(Struct, frozen=True):
    """What to make: a file at `path` for a project, whose generation was published at `published_at`."""

    path: Path
    project: str
    published_at: int
    target: float
    threads: int


def due(index: VectorIndex, graph_from: int) -> bool:
    """Whether so many passages are looked at one by one that a graph should take them in."""
    graphed = sum(part.count for part in index.parts if part.segment.graph is not None)
    plain = len(index) - graphed
    return plain >= (max(graph_from // 2, graphed // 20) if graphed else graph_from)


def build(index: VectorIndex, order: Order, go_on: Callable[[], bool]) -> float | None:
    """Makes the file and returns the graph's recall; `None` where it was told to stop.

    A graph below the target is not written. Raises `OSError`, and `RuntimeError` where usearch can do no more.
    """
    content, continued = contents(index)
    builder = (
        GraphBuilder.empty(content.vectors, order.threads)
        if continued is None
        else GraphBuilder.continued(continued, order.threads)
    )
    done = builder.size
    if not builder.add(content.vectors[done:], done, go_on):
        return None
    shape = builder.tuned(content.vectors, None if content.live.all() else content.live, order.target)
    if shape.recall >= order.target and go_on():
        sidecar.write(order.path, header(index, order, content, shape), content, builder.save)
    return shape.recall


def header(index: VectorIndex, order: Order, content: sidecar.Content, shape: GraphShape) -> sidecar.Header:
    return sidecar.Header(
        project=order.project,
        generation=index.generation,
        published_at=order.published_at,
        rows=len(content.rows),
        shape=shape,
        graph_bytes=0,
    )


def contents(index: VectorIndex) -> tuple[sidecar.Content, Graph | None]:
    """All that an index shows, and the graph that the first of it is in already, if that can go on."""
    graphs = [part for part in index.parts if part.segment.graph is not None]
    plain = [part for part in index.parts if part.segment.graph is None]
    if len(graphs) == 1 and graphs[0].count >= MOSTLY_LIVE * len(graphs[0].segment.rows):
        base, new = graphs[0], whole(plain)
        if new.rows[0] > base.segment.rows[-1]:
            old = content_of(base)
            both = sidecar.Content(
                np.concatenate([old.rows, new.rows]),
                np.concatenate([old.documents, new.documents]),
                np.concatenate([old.live, new.live]),
                np.concatenate([old.vectors, new.vectors]),
            )
            return both, base.segment.graph
    return whole([*graphs, *plain]), None


def whole(parts: list[Part]) -> sidecar.Content:
    """The live passages of some parts."""
    alone = len(parts) == 1 and parts[0].live is None
    return content_of(parts[0] if alone else Part(joined(parts)))


def content_of(part: Part) -> sidecar.Content:
    segment = part.segment
    live = np.ones(len(segment.rows), dtype=np.bool_) if part.live is None else part.live
    return sidecar.Content(segment.rows, segment.documents.rows[segment.owners], live, segment.vectors)
