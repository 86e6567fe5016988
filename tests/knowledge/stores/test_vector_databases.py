"""What every vector store does, whichever database it is."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray
from support.chroma_server import ChromaServer
from support.pinecone_server import PineconeServer

from penstock.errors import ConfigError, PenstockError, StorageError, Unavailable
from penstock.knowledge.filters import Filter, matches, parse_filter
from penstock.knowledge.stores.external.base import ExternalStore, stored
from penstock.knowledge.stores.external.clauses import clause_of, holds
from penstock.knowledge.stores.external.comparing import Aspect, aspects
from penstock.knowledge.stores.external.opening import Collection, open_external
from penstock.knowledge.values import EVERYTHING, Reader, Scope
from penstock.seams import VectorPoint

DIMENSIONS = 16
COLLECTION = Collection(project_id="local", knowledge="docs", fingerprint="f1", dimensions=DIMENSIONS)
pytestmark = pytest.mark.filterwarnings(
    "ignore:Payload indexes have no effect in the local Qdrant", "ignore:Api key is used with an insecure"
)

KINDS = ["qdrant", "chroma", "pinecone", "pgvector"]


@pytest.fixture(scope="module")
def chroma() -> Iterator[ChromaServer]:
    pytest.importorskip("chromadb", reason="Chroma for tests: pip install chromadb")
    with ChromaServer() as server:
        yield server


@pytest.fixture(scope="module")
def pinecone() -> Iterator[PineconeServer]:
    pytest.importorskip("pinecone", reason="Pinecone's client for tests: pip install pinecone")
    with PineconeServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ExternalStore]:
    opened = await open_kind(request.param, request)
    yield opened
    await opened.close()


async def open_kind(kind: str, request: pytest.FixtureRequest) -> ExternalStore:
    if kind == "qdrant":
        return await local_qdrant()
    if kind == "pgvector":
        url = request.getfixturevalue("postgres_url")
        return await open_external(url, "", COLLECTION)
    server = request.getfixturevalue(kind)
    opened = await open_external(server.url, getattr(server, "key", ""), COLLECTION)
    await opened.clear()
    return opened


async def local_qdrant() -> ExternalStore:
    """Qdrant's own engine inside its client: no wheel carries the server."""
    qdrant_client = pytest.importorskip("qdrant_client", reason="Qdrant for tests: pip install qdrant-client")
    from penstock.knowledge.stores.external.qdrant import QdrantCollection

    points = QdrantCollection(qdrant_client.AsyncQdrantClient(":memory:"), COLLECTION.name, "memory")
    await points.open(DIMENSIONS)
    return ExternalStore(points)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    made: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return made


def points(
    count: int, metadata: Sequence[dict[str, Any]] = ({},), readers: Sequence[tuple[str, ...]] = ((),)
) -> list[VectorPoint]:
    return [
        VectorPoint(
            row=row + 1,
            vector=vector,
            added_in=1,
            removed_in=None,
            document=row,
            metadata=metadata[row % len(metadata)],
            readers=readers[row % len(readers)],
        )
        for row, vector in enumerate(vectors(count))
    ]


def nearest(all_points: Sequence[VectorPoint], vector: NDArray[np.float32], k: int, scope: Scope) -> list[int]:
    """The answer by the meaning of the words alone."""
    seen = [
        point
        for point in all_points
        if point.added_in <= scope.generation
        and (point.removed_in is None or point.removed_in > scope.generation)
        and scope.reader.may_find(point.readers)
        and (scope.filter is None or matches(scope.filter, point.metadata))  # type: ignore[arg-type]
    ]
    return [point.row for point in sorted(seen, key=lambda point: -float(point.vector @ vector))[:k]]


METADATA: list[dict[str, Any]] = [
    {"team": "hr", "year": 2020, "draft": False},
    {"team": "it", "year": 2021.5, "tags": ("a", "b"), "title": "Leave policy"},
    {"year": -3, "tags": ("b",)},
    {"team": "true", "draft": True},
    {},
]
READERS: list[tuple[str, ...]] = [(), ("group:hr",), ("group:it", "key:ci")]
FILTERS: list[Any] = [
    {"team": "hr"},
    {"team": {"ne": "hr"}},
    {"team": ["hr", "it"]},
    {"team": {"nin": ["hr", "it"]}},
    {"year": 2020},
    {"year": {"ne": 2020}},
    {"year": {"gte": 2020, "lt": 2022}},
    {"year": {"in": [-3, 2021.5]}},
    {"not": {"year": {"gt": 2000}}},
    {"draft": True},
    {"draft": {"ne": True}},
    {"tags": "b"},
    {"tags": {"contains": "a"}},
    {"title": {"contains": "policy"}},
    {"title": {"gt": "K"}},
    {"draft": {"exists": False}},
    {"or": [{"team": "hr"}, {"title": {"contains": "policy"}}]},
    {"and": [{"year": {"exists": True}}, {"not": {"or": [{"team": "hr"}, {"tags": "a"}]}}]},
    {"team": "nobody"},
]


async def test_the_nearest_that_match(store: ExternalStore) -> None:
    all_points = points(120, METADATA, READERS)
    await store.upsert(all_points)
    for number, data in enumerate([None, *FILTERS]):
        filter = None if data is None else parse_filter(data)
        for reader in (EVERYTHING, Reader(()), Reader(("group:hr", "role:viewer"))):
            scope = Scope(1, reader, filter)
            vector = vectors(1, seed=number + 1)[0]
            found = await store.search(vector, 7, scope)
            assert found.rows.tolist() == nearest(all_points, vector, 7, scope), (data, reader)
            assert np.all(np.diff(found.cosines) <= 1e-6)
            own = {point.row: point.vector for point in all_points}
            expected = [float(own[row] @ vector) for row in found.rows]
            np.testing.assert_allclose(found.cosines, expected, atol=2e-3)


async def test_generations_beside_each_other(store: ExternalStore) -> None:
    first = points(30)
    await store.upsert(first)
    await store.retire([1, 2, 3], 2)
    second = [replace(point, row=point.row + 100, added_in=2) for point in points(5)]
    await store.upsert(second)
    assert (await store.rows(1)).tolist() == list(range(1, 31))
    assert (await store.rows(2)).tolist() == [*range(4, 31), *range(101, 106)]
    vector = first[0].vector
    assert (await store.search(vector, 1, Scope(1, EVERYTHING))).rows.tolist() == [1]
    assert (await store.search(vector, 1, Scope(2, EVERYTHING))).rows.tolist() == [101]


async def test_writes_may_be_repeated(store: ExternalStore) -> None:
    all_points = points(20)
    await store.upsert(all_points)
    await store.upsert(all_points[:10])
    await store.retire([5], 2)
    await store.retire([5], 2)
    await store.delete([6, 7])
    await store.delete([6, 7])
    assert (await store.rows(1)).tolist() == [row for row in range(1, 21) if row not in (6, 7)]
    assert 5 not in (await store.rows(2)).tolist()


async def test_a_point_written_again_is_the_new_one(store: ExternalStore) -> None:
    (point,) = points(1, [{"team": "hr"}])
    await store.upsert([point])
    await store.upsert([replace(point, metadata={"team": "it"}, readers=("group:it",))])
    it = Reader(("group:it",))
    assert not len((await store.search(point.vector, 5, Scope(1, EVERYTHING, parse_filter({"team": "hr"})))).rows)
    assert not len((await store.search(point.vector, 5, Scope(1, Reader(("group:hr",))))).rows)
    assert (await store.search(point.vector, 5, Scope(1, it, parse_filter({"team": "it"})))).rows.tolist() == [1]


async def test_what_was_written_is_read_back(store: ExternalStore) -> None:
    """By which it is compared: vectors, words, numbers, generations and readers."""
    all_points = points(7, METADATA, READERS)
    await store.upsert(all_points)
    await store.retire([2], 4)
    found = await store.read([*range(1, 8), 99])
    assert sorted(found) == list(range(1, 8))
    for point in all_points:
        expected = stored(replace(point, removed_in=4) if point.row == 2 else point)
        assert aspects(expected, found[point.row], newest=4) == []


async def test_each_aspect_of_a_point_is_compared(store: ExternalStore) -> None:
    kept, *_ = points(1, [{"team": "hr", "year": 2020}], [("group:hr",)])
    differing: dict[Aspect, VectorPoint] = {
        "vector": replace(kept, vector=vectors(1, seed=5)[0]),
        "metadata": replace(kept, metadata={"team": "hr"}),
        "readers": replace(kept, readers=()),
        "generations": replace(kept, removed_in=2),
    }
    for aspect, other in differing.items():
        await store.upsert([other])
        assert aspects(stored(kept), (await store.read([1]))[1], newest=3) == [aspect]
        await store.upsert([kept])
        assert aspects(stored(kept), (await store.read([1]))[1], newest=3) == []


async def test_what_was_not_published_is_not_compared(store: ExternalStore) -> None:
    (kept,) = points(1)
    await store.upsert([kept])
    await store.retire([1], 5)
    found = (await store.read([1]))[1]
    assert aspects(stored(kept), found, newest=4) == []
    assert aspects(stored(kept), found, newest=5) == ["generations"]


async def test_the_rows_of_several_generations(store: ExternalStore) -> None:
    await store.upsert([replace(point, added_in=point.row) for point in points(5)])
    await store.retire([1], 2)
    await store.retire([2], 4)
    assert (await store.rows(2, 4)).tolist() == [2, 3, 4]


async def test_cosines_of_named_rows(store: ExternalStore) -> None:
    all_points = points(12)
    await store.upsert(all_points)
    found = await store.cosines(all_points[2].vector, [3, 99, 1])
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], [1.0, float(all_points[0].vector @ all_points[2].vector)], atol=1e-5)


async def test_clearing(store: ExternalStore) -> None:
    await store.clear()
    await store.upsert(points(5))
    await store.clear()
    assert not len(await store.rows(1))


async def test_k_is_honoured_for_few_that_match_among_many(store: ExternalStore) -> None:
    """Where an index that was searched first and filtered afterwards would return too few."""
    rare = [{"kind": "rare"} if number % 100 == 99 else {"kind": "plain"} for number in range(100)]
    all_points = points(2000, rare)
    await store.upsert(all_points)
    vector = all_points[0].vector
    scope = Scope(1, EVERYTHING, parse_filter({"kind": "rare"}))
    found = await store.search(vector, 10, scope)
    assert sorted(found.rows.tolist()) == sorted(nearest(all_points, vector, 10, scope))


async def test_postgres_itself_keeps_readers_apart(postgres_url: str) -> None:
    """Row-level security: even a statement without any condition sees only what its reader may."""
    from sqlalchemy import text

    store = await open_external(postgres_url, "", COLLECTION)
    await store.upsert(points(9, readers=READERS))
    other = await open_external(postgres_url, "", replace(COLLECTION, project_id="other"))
    table: Any = store._backend
    everything = text(f"SELECT row FROM {table._table} ORDER BY row")
    for reader, rows in ((Reader(()), [1, 4, 7]), (Reader(("key:ci",)), [1, 3, 4, 6, 7, 9])):
        with table._connect(reader, as_reader=True) as connection:
            assert connection.execute(everything).scalars().all() == rows
    await other.close()
    await store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("qdrant:/x", "is not understood"),
        ("ftp://x", "is not understood"),
        ("qdrant://host:99999", "is not understood"),
    ],
)
async def test_addresses_that_are_not_understood(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        await open_external(url, "", COLLECTION)
    assert "qdrant://HOST:6333" in str(caught.value.hint)


@pytest.mark.parametrize("scheme", ["qdrant", "chroma", "pinecone", "postgresql"])
async def test_a_database_that_is_away(scheme: str, closed_port: int) -> None:
    with pytest.raises((Unavailable, StorageError)) as caught:
        store = await open_external(f"{scheme}://127.0.0.1:{closed_port}", "secret-key", COLLECTION)
        await store.upsert(points(1))
    assert f"127.0.0.1:{closed_port}" in str(caught.value)
    assert "secret-key" not in str(caught.value) + str(caught.value.hint)


@pytest.mark.parametrize("scheme", ["qdrant", "chroma"])
async def test_a_key_is_not_sent_in_the_clear(scheme: str) -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:6333 unencrypted") as caught:
        await open_external(f"{scheme}://192.0.2.1:6333", "secret-key", COLLECTION)
    assert f"{scheme}s://" in str(caught.value.hint)


async def test_a_wrong_key(pinecone: PineconeServer) -> None:
    store = await open_external(pinecone.url, "wrong-key", COLLECTION)
    with pytest.raises(PenstockError, match="refused") as caught:
        await store.upsert(points(1))
    assert "wrong-key" not in str(caught.value)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(["", "a", "b", "ab"]),
    st.floats(-2, 2).map(lambda x: round(x, 1)),
)
MEMBERS = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)
DATA = st.dictionaries(st.sampled_from("xy"), st.one_of(VALUES, MEMBERS))
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b"]))
COMPARES = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), VALUES),
    st.tuples(st.sampled_from(["in", "nin"]), st.lists(VALUES, max_size=3)),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS),
    st.tuples(st.just("contains"), VALUES),
    st.tuples(st.just("exists"), st.booleans()),
)
ONE = st.builds(lambda field, compare: {field: dict([compare])}, st.sampled_from("xy"), COMPARES)
SOME: st.SearchStrategy[Any] = st.recursive(
    ONE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=SOME, metadata=DATA, readers=MEMBERS, tags=st.one_of(st.none(), MEMBERS))
def test_clauses_lose_nothing_that_matches(
    data: Any, metadata: dict[str, Any], readers: tuple[str, ...], tags: tuple[str, ...] | None
) -> None:
    filter: Filter = parse_filter(data)
    point = stored(replace(points(1)[0], metadata=metadata, readers=readers))
    scope = Scope(1, Reader(tags), filter)
    passes = holds(clause_of(scope), frozenset(point.words), point.numbers)
    if matches(filter, metadata) and scope.reader.may_find(readers):
        assert passes
    if not scope.reader.may_find(readers):
        assert not passes
