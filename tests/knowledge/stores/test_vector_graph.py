"""The graph beside the database: made in the background, believed only when whole and of this very knowledge."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.vector_base import VectorBase, random_vectors

from penstock.knowledge.filters import parse_filter
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors import segment, sidecar
from penstock.knowledge.stores.vectors.index import VectorIndex
from penstock.knowledge.stores.vectors.indexes import IndexOptions, VectorIndexes
from penstock.knowledge.values import EVERYTHING, Scope

DIMENSIONS = 32
MANY = 1500
OPTIONS = IndexOptions(graph_from=1000, threads=1)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorBase]:
    monkeypatch.setattr(segment, "FEW", 50)
    base = VectorBase(tmp_path / "knowledge-docs.db", DIMENSIONS)
    yield base
    base.close()


def grow(base: VectorBase, count: int, seed: int = 1) -> Published:
    chance = np.random.default_rng(seed)
    vectors = random_vectors(count, DIMENSIONS, chance)
    metadata = [{"n": int(n)} for n in chance.integers(100, size=count)]
    base.add_many([each[None] for each in vectors], metadata, [()] * count)
    return base.publish()


def opened(base: VectorBase, options: IndexOptions = OPTIONS) -> VectorIndexes:
    return VectorIndexes(base.database, options=options)


def index_of(base: VectorBase, indexes: VectorIndexes, generation: Published) -> VectorIndex:
    with base.database.read() as connection:
        return indexes.get(connection, generation)


def built(base: VectorBase, indexes: VectorIndexes, generation: Published) -> VectorIndex:
    index_of(base, indexes, generation)
    indexes.wait()
    return index_of(base, indexes, generation)


def recall(base: VectorBase, index: VectorIndex, filter: object = None, k: int = 10) -> float:
    """The share of the nearest that is found; all that may be found is, where there are fewer than `k`."""
    scope = Scope(index.generation.number, EVERYTHING, parse_filter(filter) if filter else None)
    found = wanted = 0
    for vector in random_vectors(20, DIMENSIONS, np.random.default_rng(99)):
        expected = [row for row, _ in base.nearest(vector, k, scope)]
        rows = index.search(vector, k, scope).rows.tolist()
        assert len(rows) == len(expected)
        found, wanted = found + len(set(rows) & set(expected)), wanted + len(expected)
    return found / wanted


def test_a_large_knowledge_base_gets_a_graph_and_a_small_one_none(base: VectorBase) -> None:
    indexes = opened(base)
    assert indexes.stats() is None
    assert built(base, indexes, grow(base, 500)).stats().graph_rows == 0
    assert not indexes.path.exists()
    index = built(base, indexes, grow(base, 1000, seed=2))
    stats = indexes.stats()
    assert stats is not None
    assert (stats.rows, stats.graph_rows, stats.note, stats.building) == (1500, 1500, "", False)
    assert stats.recall is not None and stats.recall >= 0.99
    assert recall(base, index) >= 0.95
    indexes.close()


@pytest.mark.parametrize("filter", [{"n": 7}, {"n": {"lt": 5}}, {"n": {"lt": 50}}, {"n": {"lt": 99}}, {"n": -1}])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_all_that_was_asked_for_comes_back_under_any_filter(base: VectorBase, filter: object, k: int) -> None:
    indexes = opened(base)
    index = built(base, indexes, grow(base, MANY))
    assert index.stats().graph_rows == MANY
    number = index.generation.number
    scope = Scope(number, EVERYTHING, parse_filter(filter))
    for vector in random_vectors(5, DIMENSIONS, np.random.default_rng(5)):
        assert len(index.search(vector, k, scope).rows) == len(base.nearest(vector, k, scope))
    if filter != {"n": -1}:
        assert recall(base, index, filter, k) >= 0.9
    indexes.close()


def test_passages_far_from_the_question_are_found_when_only_they_match(base: VectorBase) -> None:
    """What a filter leaves may lie where a graph never looks from here."""
    chance = np.random.default_rng(3)
    pole = np.zeros(DIMENSIONS, dtype=np.float32)
    pole[0] = 1
    near, far = (
        pole + 0.1 * random_vectors(MANY, DIMENSIONS, chance),
        -pole + 0.1 * random_vectors(300, DIMENSIONS, chance),
    )
    vectors = np.concatenate([near, far])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    base.add_many(
        [each[None] for each in vectors], [{"far": n >= MANY} for n in range(len(vectors))], [()] * len(vectors)
    )
    indexes = opened(base, IndexOptions(graph_from=1000, target=0.5, threads=1))
    index = built(base, indexes, base.publish())
    assert index.stats().graph_rows == len(vectors)
    scope = Scope(1, EVERYTHING, parse_filter({"far": True}))
    hits = index.search(pole, 100, scope)
    assert np.allclose(hits.cosines, [cosine for _, cosine in base.nearest(pole, 100, scope)], atol=1e-3)
    indexes.close()


def test_a_graph_that_finds_too_little_is_not_used_and_that_is_said(base: VectorBase) -> None:
    indexes = opened(base, IndexOptions(graph_from=1000, target=1.01, threads=1))
    index = built(base, indexes, grow(base, MANY))
    stats = indexes.stats()
    assert stats is not None and stats.graph_rows == 0
    assert "of the ten nearest, so every passage is looked at" in stats.note
    assert recall(base, index) == 1.0
    assert not indexes.path.exists()
    indexes.close()


def test_a_graph_that_a_full_disk_does_not_take_leaves_searches_as_they_were(base: VectorBase) -> None:
    generation = grow(base, MANY)
    indexes = opened(base)
    unfinished = indexes.path.with_suffix(".hnsw-graph")
    unfinished.symlink_to("/dev/full")
    index = built(base, indexes, generation)
    stats = indexes.stats()
    assert stats is not None and not stats.building and "could not be made" in stats.note
    assert recall(base, index) == 1.0
    indexes.close()

    freed = opened(base)
    assert built(base, freed, generation).stats().graph_rows == MANY
    freed.close()


def test_the_file_is_used_by_the_next_process(base: VectorBase) -> None:
    indexes = opened(base)
    built(base, indexes, grow(base, MANY))
    indexes.close()
    again = opened(base)
    index = index_of(base, again, base.generations[1])
    assert index.stats().graph_rows == MANY
    assert recall(base, index) >= 0.95
    assert not list(base.database.path.parent.glob("*.hnsw-*"))
    again.close()


@pytest.mark.parametrize("harm", ["cut", "bit in the head", "bit in the rows", "bit in the graph", "empty", "else"])
def test_a_damaged_file_is_never_used(base: VectorBase, harm: str) -> None:
    indexes = opened(base)
    built(base, indexes, grow(base, MANY))
    indexes.close()
    whole = bytearray(indexes.path.read_bytes())
    bits = {"bit in the head": 40, "bit in the rows": 1000, "bit in the graph": len(whole) - 5}
    if harm in bits:
        whole[bits[harm]] ^= 1
    damaged = {"cut": bytes(whole[: len(whole) // 2]), "empty": b"", "else": b"something else\n" * 100}
    indexes.path.unlink()  # the old one is mapped still
    indexes.path.write_bytes(damaged.get(harm, bytes(whole)))
    assert sidecar.read(indexes.path) is None
    again = opened(base)
    assert index_of(base, again, base.generations[1]).stats().graph_rows == 0
    again.wait()
    assert index_of(base, again, base.generations[1]).stats().graph_rows == MANY
    assert sidecar.read(again.path) is not None
    again.close()


def test_a_file_of_another_embedder_or_time_is_never_used(base: VectorBase, tmp_path: Path) -> None:
    indexes = opened(base)
    built(base, indexes, grow(base, MANY))
    indexes.close()
    other = VectorBase(tmp_path / "other" / "knowledge-docs.db", DIMENSIONS, fingerprint="another")
    later = VectorBase(tmp_path / "later" / "knowledge-docs.db", DIMENSIONS)
    later.add(random_vectors(3, DIMENSIONS, np.random.default_rng(0)))
    later.publish(at=77)
    other.add(random_vectors(3, DIMENSIONS, np.random.default_rng(0)))
    other.publish()
    for stranger in (other, later):
        (stranger.database.path.parent / "knowledge-docs.hnsw").write_bytes(indexes.path.read_bytes())
        found = opened(stranger)
        index = index_of(stranger, found, stranger.generations[1])
        assert (len(index), index.stats().graph_rows) == (3, 0)
        found.close()
        stranger.close()


def test_a_file_of_a_generation_that_is_gone_is_never_used(base: VectorBase) -> None:
    """Its row numbers may be other passages' by now."""
    indexes = opened(base)
    built(base, indexes, grow(base, MANY))
    indexes.close()
    for document in base.documents[1000:]:
        base.remove(document)
    for seed in range(6):
        grow(base, 90, seed)
    assert 1 not in base.generations
    again = opened(base)
    index = built(base, again, base.generations[7])
    assert index.rows().tolist() == sorted(base.shown[7])
    assert recall(base, index) >= 0.95
    again.close()


def test_the_graph_follows_what_comes_and_goes(base: VectorBase) -> None:
    indexes = opened(base)
    built(base, indexes, grow(base, MANY))
    first = indexes.path.stat().st_mtime_ns
    for document in base.documents[:200]:
        base.remove(document)
    index = built(base, indexes, grow(base, 100, seed=2))
    assert indexes.path.stat().st_mtime_ns == first  # so few are looked at one by one
    assert (index.stats().graph_rows, len(index)) == (MANY - 200, MANY - 100)
    assert recall(base, index) >= 0.95
    index = built(base, indexes, grow(base, 600, seed=3))
    assert indexes.path.stat().st_mtime_ns != first  # the graph took them in
    assert index.stats().graph_rows == len(index) == MANY + 500
    assert index.rows().tolist() == sorted(base.shown[3])
    assert recall(base, index) >= 0.95
    old = index_of(base, indexes, base.generations[1])
    assert old.rows().tolist() == sorted(base.shown[1])
    assert recall(base, old) >= 0.95
    for document in base.documents[: MANY - 100]:
        base.remove(document)
    index = built(base, indexes, grow(base, 500, seed=4))
    assert index.rows().tolist() == sorted(base.shown[4])
    assert recall(base, index) >= 0.95
    indexes.close()


def test_searches_go_on_while_generations_and_graphs_come(base: VectorBase) -> None:
    grow(base, MANY)
    indexes = opened(base)
    index_of(base, indexes, base.generations[1])
    done, failures, searched = threading.Event(), [], []

    def ask(seed: int) -> None:
        chance = np.random.default_rng(seed)
        while not done.is_set():
            number = max(base.generations)
            index = index_of(base, indexes, base.generations[number])
            vector = random_vectors(1, DIMENSIONS, chance)[0]
            scope = Scope(number, EVERYTHING, parse_filter({"n": {"lt": 50}}))
            rows = set(index.search(vector, 10, scope).rows.tolist())
            shown = base.shown[number]
            if len(rows) != 10 or not all(row in shown and shown[row].metadata["n"] < 50 for row in rows):
                failures.append((number, rows))
            searched.append(number)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for seed in range(4):
        for document in base.documents[seed * 50 : seed * 50 + 40]:
            base.remove(document)
        grow(base, 300, seed)
        index_of(base, indexes, base.generations[max(base.generations)])
        indexes.wait()
    done.set()
    for thread in threads:
        thread.join()
    indexes.close()
    assert not failures
    assert len(set(searched)) > 1


def test_closing_gives_up_on_a_graph(base: VectorBase) -> None:
    indexes = opened(base)
    index_of(base, indexes, grow(base, MANY))
    indexes.close()
    before = indexes.path.exists()
    index_of(base, indexes, grow(base, MANY, seed=2))
    indexes.wait()
    assert indexes.path.exists() == before


def test_what_was_repaired_is_read_anew(base: VectorBase) -> None:
    indexes = opened(base)
    built(base, indexes, grow(base, MANY))
    indexes.forget()
    assert not indexes.path.exists()
    assert indexes.stats() is None
    assert built(base, indexes, base.generations[1]).stats().graph_rows == MANY
    assert indexes.path.exists()
    indexes.close()
