"""A search finds the nearest passages that may be found, all that were asked for, in every generation."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.vector_base import VectorBase, random_vectors

from penstock.knowledge.filters import parse_filter
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors import segment
from penstock.knowledge.stores.vectors.index import VectorIndex
from penstock.knowledge.stores.vectors.indexes import IndexOptions, VectorIndexes
from penstock.knowledge.values import EVERYTHING, Reader, Scope

DIMENSIONS = 24
FILTERS = (
    None,
    {"n": {"lt": 3}},
    {"n": {"gte": 40}},
    {"team": "hr"},
    {"team": {"ne": "hr"}},
    {"not": {"n": {"lt": 90}}},
    {"or": [{"n": 7}, {"n": 8}]},
    {"nothing": 1},
)
READERS = (EVERYTHING, Reader(()), Reader(("group:a",)), Reader(("group:a", "group:b")))


def fill(base: VectorBase, chance: np.random.Generator, documents: int, passages: int = 4) -> None:
    counts = chance.integers(1, passages + 1, size=documents)
    vectors = [random_vectors(int(count), DIMENSIONS, chance) for count in counts]
    metadata = [{"n": int(chance.integers(100)), "team": str(chance.choice(["hr", "it"]))} for _ in counts]
    readers = [[(), (), ("group:a",), ("group:b",)][chance.integers(4)] for _ in counts]
    base.add_many(vectors, metadata, readers)


def index_of(base: VectorBase, indexes: VectorIndexes, generation: Published) -> VectorIndex:
    with base.database.read() as connection:
        return indexes.get(connection, generation)


def check(base: VectorBase, index: VectorIndex, k: int, scope: Scope, exact: bool, vector: np.ndarray) -> float:
    """What comes back is what may be found, `k` of it where there is, best first; the share of the nearest."""
    expected = base.nearest(vector, k, scope)
    hits = index.search(vector, k, scope)
    rows = hits.rows.tolist()
    assert len(rows) == len(set(rows)) == len(expected)
    allowed = {row for row, _ in base.nearest(vector, len(base.shown[scope.generation]), scope)}
    assert set(rows) <= allowed
    assert index.count(scope) == len(allowed)
    cosines = {row: each.vector @ vector for row, each in base.shown[scope.generation].items()}
    assert np.allclose(hits.cosines, [cosines[row] for row in rows], atol=1e-3)
    assert (np.diff(hits.cosines) <= 1e-5).all()
    if exact:
        assert np.allclose(hits.cosines, [cosine for _, cosine in expected], atol=1e-3)
    everything = np.array([*base.shown[scope.generation], -5, 10**9])
    assert set(everything[index.allowed(everything, scope)].tolist()) == allowed
    own = index.cosines(vector, everything, scope)
    assert set(everything[~np.isnan(own)].tolist()) == allowed
    return len(set(rows) & {row for row, _ in expected}) / max(1, len(expected))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_every_search_is_what_looking_at_each_passage_finds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, graph: bool
) -> None:
    chance = np.random.default_rng(seed)
    base = VectorBase(tmp_path_factory.mktemp("v") / "knowledge-docs.db", DIMENSIONS)
    options = IndexOptions(graph_from=60 if graph else 10**9, target=0.5)
    indexes = VectorIndexes(base.database, options=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "FEW", 10)
        for _ in range(chance.integers(1, 7)):
            fill(base, chance, int(chance.choice([0, 3, 40])))
            for document in chance.permutation(base.documents)[: chance.integers(0, 20)]:
                base.remove(int(document))
            base.publish(keep=4)
            if chance.random() < 0.5:
                continue
            for number in chance.permutation(list(base.generations)):
                index = index_of(base, indexes, base.generations[int(number)])
                if chance.random() < 0.5:
                    indexes.wait()
                    index = index_of(base, indexes, base.generations[int(number)])
                chosen = FILTERS[chance.integers(len(FILTERS))]
                scope = Scope(
                    int(number), READERS[chance.integers(len(READERS))], parse_filter(chosen) if chosen else None
                )
                vector = random_vectors(1, DIMENSIONS, chance)[0]
                exact = index.stats().graph_rows == 0
                check(base, index, int(chance.choice([1, 5, 30, 500])), scope, exact, vector)
    indexes.close()
    base.close()
