"""A knowledge base to look at: planes through vectors, samples, how a document was cut, and what sources gave."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from penstock.knowledge import inspection
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, KnowledgeOptions, Reader, Sources
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.projection import Plane
from penstock.knowledge.sources.pushed import PushedDocument
from penstock.testing import FakeEmbedder

FINITE = st.floats(-1, 1, width=32)
SHAPES = st.tuples(st.integers(0, 30), st.integers(0, 12))
OUTSIDER, MEMBER = Reader(("role:viewer",)), Reader(("group:hr",))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[KnowledgeBase]:
    options = KnowledgeOptions(chunking=ChunkOptions(strategy="parents", tokens=32, parent_tokens=128))
    base = KnowledgeBase.open(tmp_path / "knowledge.db", "docs", FakeEmbedder(), options)
    yield base
    base.close()


def write(folder: Path, documents: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(documents):
        parts = [f"## Part {part}\n\nSentence {part} of {number} is on valve {part * number}." for part in range(9)]
        (folder / f"{number}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(parts))


async def fill(base: KnowledgeBase, folder: Path, documents: int = 3) -> None:
    write(folder, documents)
    await base.ingest(Sources(folder))
    secret = PushedDocument(key="pay.md", data=b"# Pay\n\nThe pay of all.", readers=("group:hr",))
    await base.push([secret])


@given(arrays.arrays(np.float32, SHAPES, elements=FINITE))
def test_every_vector_has_a_place_between_0_and_1(vectors: np.ndarray) -> None:
    plane = Plane.through(vectors)
    places = plane.places(vectors)
    assert places.shape == (len(vectors), 2)
    assert ((places >= 0) & (places <= 1)).all()
    assert 0 <= plane.shown <= 1 + 1e-9
    assert (Plane.through(vectors).places(vectors) == places).all(), "the same vectors, the same map"


def test_what_differs_most_is_across_and_strays_do_not_make_the_rest_one_spot() -> None:
    chance = np.random.default_rng(3)
    vectors = np.zeros((400, 8), dtype=np.float32)
    vectors[:, 5] = chance.uniform(-1, 1, 400)
    vectors[:, 2] = chance.uniform(-0.3, 0.3, 400)
    vectors[0, 5] = 500
    plane = Plane.through(vectors)
    places = plane.places(vectors)
    order = np.argsort(vectors[1:, 5])
    assert (np.diff(places[1:, 0][order]) >= 0).all() or (np.diff(places[1:, 0][order]) <= 0).all()
    assert np.ptp(places[1:, 0]) > 0.9
    assert plane.shown == pytest.approx(1)


async def test_passages_are_ranges_of_the_text_within_their_parents(base: KnowledgeBase, tmp_path: Path) -> None:
    await fill(base, tmp_path / "docs")
    row = next(row for row in base.documents(EVERYTHING) if row.path == "1.md")
    text = base.document(row.id, EVERYTHING).text
    passages = base.inspection.passages(row.id, EVERYTHING)
    assert len(passages) == row.chunks > 1
    assert [each.start for each in passages] == sorted(each.start for each in passages)
    for each in passages:
        assert text[each.start : each.end].strip()
        assert each.parent is not None
        assert each.parent[0] <= each.start < each.end <= each.parent[1]


async def test_nothing_is_told_of_what_is_for_others(base: KnowledgeBase, tmp_path: Path) -> None:
    await fill(base, tmp_path / "docs")
    pay = next(row for row in base.documents(EVERYTHING) if row.path == "pay.md")
    assert base.inspection.passages(pay.id, MEMBER)
    assert base.inspection.passages(pay.id, OUTSIDER) == []
    for reader, there in ((MEMBER, True), (OUTSIDER, False), (EVERYTHING, True)):
        drawn = await base.inspection.map(reader)
        assert ("pay.md" in {each.document for each in drawn.passages}) is there
        assert drawn.total == base.counts(reader).chunks == len(drawn.passages)
        pushed = next((each for each in base.inspection.sources(reader) if each.source == "pushed"), None)
        assert pushed is not None
        assert pushed.documents == int(there)


async def test_sources_say_what_they_gave_and_when(base: KnowledgeBase, tmp_path: Path) -> None:
    await fill(base, tmp_path / "docs")
    (tmp_path / "docs/torn.pdf").write_bytes(b"%PDF-1.7 torn")
    await base.ingest(Sources(tmp_path / "docs"))
    folder = next(each for each in base.inspection.sources(EVERYTHING) if each.source == "folder")
    assert folder.documents == 4
    assert folder.statuses == {"ok": 3, "corrupt": 1}
    assert folder.listed_at is not None
    assert folder.bytes == sum(path.stat().st_size for path in (tmp_path / "docs").iterdir())


async def test_large_knowledge_is_sampled_from_all_of_it(
    base: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MOST_PASSAGES", 20)
    await fill(base, tmp_path / "docs", documents=12)
    drawn = await base.inspection.map(EVERYTHING)
    assert 10 <= len(drawn.passages) <= 20 < drawn.total
    assert len({each.document for each in drawn.passages}) >= 8


async def test_a_map_is_drawn_anew_for_a_new_generation(base: KnowledgeBase, tmp_path: Path) -> None:
    await fill(base, tmp_path / "docs")
    before = await base.inspection.map(EVERYTHING)
    assert await base.inspection.map(EVERYTHING) is before
    (tmp_path / "docs/0.md").unlink()
    await base.ingest(Sources(tmp_path / "docs"))
    after = await base.inspection.map(EVERYTHING)
    assert after.generation == before.generation + 1
    assert "0.md" not in {each.document for each in after.passages}


async def test_questions_lie_where_the_same_words_lie_and_are_embedded_once(
    base: KnowledgeBase, tmp_path: Path
) -> None:
    await fill(base, tmp_path / "docs")
    embedder = base._embedder
    assert isinstance(embedder, FakeEmbedder)
    drawn = await base.inspection.map(EVERYTHING)
    first = await base.inspection.places(["valve", "pay", "valve"], drawn)
    batches = len(embedder.batches)
    again = await base.inspection.places(["pay"], drawn)
    assert len(embedder.batches) == batches
    assert (first[0] == first[2]).all()
    assert (again[0] == first[1]).all()


async def test_vectors_of_another_embedder_are_not_compared(base: KnowledgeBase, tmp_path: Path) -> None:
    await fill(base, tmp_path / "docs")
    base.close()
    other = KnowledgeBase.open(tmp_path / "knowledge.db", "docs", FakeEmbedder("another", dimensions=32))
    drawn = await other.inspection.map(EVERYTHING)
    assert len(drawn.passages) == drawn.total
    assert len(await other.inspection.places(["valve"], drawn)) == 0
    other.close()


async def test_nothing_taken_in_is_an_empty_map(base: KnowledgeBase) -> None:
    drawn = await base.inspection.map(EVERYTHING)
    assert (drawn.passages, drawn.total, drawn.generation) == ((), 0, 0)
    assert base.inspection.sources(EVERYTHING) == []
