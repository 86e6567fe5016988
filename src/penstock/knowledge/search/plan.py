"""What a search works with: what is asked, what is known before vectors are looked at, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.search.mixing import Candidates, Weighed, joined
from penstock.knowledge.search.words import WordSearch
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors.index import IndexStats, VectorIndex
from penstock.knowledge.values import Query, Scope
from penstock.seams import VectorHits


class Asked(Struct, frozen=True):
    """A query in all its phrasings, with a vector for each; with none where vectors are not searched."""

    query: Query
    texts: tuple[str, ...]
    vectors: NDArray[np.float32]


class Plan(Struct, frozen=True):
    """What is known before vectors are asked: a phrasing each, with the passages that its words lead to.

    `limit` candidates of each are chosen and scored with this `weight` of their vectors; the `wanted` best of them
    are found for certain.
    """

    generation: Published
    scope: Scope
    searches: tuple[WordSearch, ...]
    by_words: tuple[Weighed, ...]
    vectors: NDArray[np.float32]
    average: float
    weight: float
    limit: int
    wanted: int


class SearchedVectors(Protocol):
    """The vectors of a knowledge base, wherever they are searched.

    What is in this process gives its `index`, which may take a while to load, or `None` from `loaded` while it is
    not; others give none, and are waited for.
    """

    def index(self, generation: int) -> VectorIndex | None: ...

    def loaded(self, generation: int) -> VectorIndex | None: ...

    def stats(self) -> IndexStats | None: ...

    def warm(self) -> None: ...

    def forget(self) -> None: ...

    def close(self) -> None: ...

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits: ...

    async def cosines(
        self, vector: NDArray[np.float32], rows: Sequence[int], generation: int
    ) -> NDArray[np.float32]: ...


def near(index: VectorIndex, plan: Plan, at: int) -> Candidates:
    """The nearest passages of a scope, and how near those are that the words of a phrasing lead to.

    Whatever is not among the nearest and has none of the words has `plan.limit` passages above it.
    """
    vector, by_words = plan.vectors[at], plan.by_words[at]
    nearest = index.search(vector, plan.limit, plan.scope)
    cosines = index.cosines(vector, by_words.rows, plan.scope)
    return joined(Weighed(nearest.rows, nearest.cosines), cosines, by_words)
