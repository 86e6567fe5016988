"""Search: both scores, the mix, spans, and questions of any shape."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.hash_embedder import HashEmbedder

from penstock.errors import InvalidRequest, NotFound, UpstreamFailed
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.chunking.values import ChunkOptions
from penstock.knowledge.filters import matches, parse_filter
from penstock.knowledge.search import words
from penstock.knowledge.search.context import with_context
from penstock.knowledge.search.mixing import best_first, mix
from penstock.knowledge.search.reranking import reranked
from penstock.knowledge.sources.base import Item, Listing
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Mode, Scope
from penstock.testing.reranker import FakeReranker

TEXTS = {
    "rules.md": "# Rules\n\nThe harbour master decides whether a ship may enter.",
    "fees.md": "# Fees\n\nA night at the quay costs twelve euros.",
    "radio.txt": "Call on channel nine before you enter.",
    "tokyo.txt": "東京港の営業時間は午前八時から午後六時までです。",
    "fuel.txt": "Diesel is sold at the western quay until six.",
}


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    for name, text in TEXTS.items():
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_text(text)
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(dimensions=64))
    await base.ingest(Sources(tmp_path / "docs"))
    yield base
    base.close()


async def test_the_passage_that_says_it_comes_first_with_both_scores(base: KnowledgeBase) -> None:
    result = await base.search(Query(text="What does a night cost?", reader=EVERYTHING, limit=3))
    first = result.hits[0]
    assert (first.document, first.title, first.heading) == ("fees.md", "Fees", ("Fees",))
    assert first.vector_score is not None
    assert first.score == pytest.approx(mix(first.vector_score, first.text_score))
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert len(result.hits) == 3
    assert all(0 <= hit.score <= 1 and 0 <= hit.text_score <= 1 for hit in result.hits)
    for hit in result.hits:
        assert base.document(hit.document_id, EVERYTHING).text[hit.start : hit.end] == hit.text
    assert np.linalg.norm(result.vector) == pytest.approx(1, abs=1e-5)


async def test_scripts_without_spaces_are_found_by_their_words(base: KnowledgeBase) -> None:
    first = (await base.search(Query(text="営業時間", reader=EVERYTHING))).hits[0]
    assert first.document == "tokyo.txt"
    assert first.text_score > 0.5


async def test_a_base_without_documents_finds_nothing(tmp_path: Path) -> None:
    base = KnowledgeBase.open(tmp_path / "empty.db", "docs", HashEmbedder())
    result = await base.search(Query(text="anything", reader=EVERYTHING))
    assert (result.hits, result.generation) == ((), 0)
    assert (base.generation(), base.documents(EVERYTHING), base.counts(EVERYTHING).documents) == (0, [], 0)
    base.warm()
    base.close()


async def test_a_question_without_words_still_finds_by_its_vector(base: KnowledgeBase) -> None:
    hits = (await base.search(Query(text="?!", reader=EVERYTHING))).hits
    assert len(hits) == 5
    assert all(hit.text_score == 0 for hit in hits)


@pytest.mark.parametrize("limit", [0, 1, 4, 100])
async def test_as_many_hits_as_asked_for(base: KnowledgeBase, limit: int) -> None:
    assert len((await base.search(Query(text="enter the quay", reader=EVERYTHING, limit=limit))).hits) == min(
        limit, len(TEXTS)
    )


async def test_an_unknown_generation_is_an_error(base: KnowledgeBase) -> None:
    with pytest.raises(NotFound, match="Generation 7 of the knowledge is not kept"):
        await base.search(Query(text="enter", reader=EVERYTHING, generation=7))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(question=st.text(max_size=60))
async def test_any_question_gets_an_answer(base: KnowledgeBase, question: str) -> None:
    assert len((await base.search(Query(text=question, reader=EVERYTHING))).hits) == 5


class Span:
    def __init__(self, log: "list[Span]", name: str, kind: str, attributes: dict[str, Any]) -> None:
        self.name, self.kind, self.attributes, self.log = name, kind, attributes, log
        self.failed = False
        log.append(self)

    def set(self, **attributes: Any) -> None:
        self.attributes.update(attributes)

    @property
    def tracer(self) -> "Recorder":
        return Recorder(self.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.failed = error is not None


class Recorder:
    def __init__(self, spans: list[Span] | None = None) -> None:
        self.spans: list[Span] = [] if spans is None else spans

    def span(self, name: str, kind: str = "chain", **attributes: Any) -> Span:
        return Span(self.spans, name, kind, attributes)


async def test_a_trace_says_what_was_embedded_and_found(base: KnowledgeBase) -> None:
    recorder = Recorder()
    result = await base.search(Query(text="When may a ship enter?", reader=EVERYTHING, limit=2), recorder)  # type: ignore[arg-type]
    embed, search = recorder.spans
    assert (embed.name, embed.kind) == ("embed", "embedding")
    assert (search.name, search.kind, search.attributes["generation"]) == ("search", "retriever", 1)
    assert [hit["chunk"] for hit in search.attributes["hits"]] == [hit.chunk_id for hit in result.hits]
    assert search.attributes["hits"][0]["document"] == "rules.md"
    assert {"score", "vector_score", "text_score", "start", "end", "document_id"} <= search.attributes["hits"][
        0
    ].keys()


@given(st.lists(st.floats(0, 1, width=32), max_size=40), st.integers(-1, 50))
def test_best_first_is_a_stable_sort(scores: list[float], limit: int) -> None:
    expected = sorted(range(len(scores)), key=lambda at: -scores[at])[: max(0, limit)]
    assert best_first(np.array(scores, dtype=np.float32), limit).tolist() == expected


class Given:
    """A source of texts with what is known of them."""

    name = "given"
    max_delete = 0.2

    def __init__(self, papers: dict[str, tuple[str, dict[str, Any]]]) -> None:
        self._papers = papers

    async def list(self, cursor: bytes) -> Listing:
        items = tuple(
            Item(key=key, version="1", kind="text", location=key.encode(), metadata=metadata)
            for key, (_, metadata) in self._papers.items()
        )
        return Listing(items=items)

    async def fetch(self, item: Item, folder: Path) -> Path:
        path = folder / item.key
        path.write_text(self._papers[item.key][0])
        return path

    async def close(self) -> None:
        pass


WORDS = ("harbour", "fee", "quay", "diesel", "night", "ship", "master", "radio", "crane", "water")


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    """Two hundred short documents, every tenth of team "hr", one of team "board"."""
    chosen = random.Random(7)
    papers = {
        f"p{number:03}.txt": (
            f"{' '.join(chosen.choices(WORDS, k=12))} number{number}.",
            {"team": "board" if number == 77 else "hr" if number % 10 == 0 else "it", "year": 2000 + number % 25},
        )
        for number in range(200)
    }
    base = KnowledgeBase.open(tmp_path / "k.db", "many", HashEmbedder(dimensions=64))
    await base.ingest([Given(papers)])
    yield base
    base.close()


@pytest.mark.parametrize("question", ["diesel at the quay", "radio number77", "crane", "harbour master ship"])
@pytest.mark.parametrize("weight", [0.3, 0.5, 1.0])
async def test_the_best_are_those_that_a_look_at_everything_finds(
    many: KnowledgeBase, question: str, weight: float
) -> None:
    """With a limit as high as there are passages, nothing is left out beforehand."""
    query = Query(text=question, reader=EVERYTHING, limit=200, vector_weight=weight)
    everything = (await many.search(query)).hits
    few = (await many.search(msgspec.structs.replace(query, limit=5))).hits
    assert [(hit.document, hit.score) for hit in few] == [(hit.document, hit.score) for hit in everything[:5]]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "text"])
@pytest.mark.parametrize(
    ("filter", "count"),
    [({"team": "hr"}, 20), ({"team": "board"}, 1), ({"team": "nobody"}, 0), ({"year": {"gte": 2020}}, 40)],
)
async def test_a_filter_leaves_as_many_as_there_are(
    many: KnowledgeBase, mode: Mode, filter: dict[str, Any], count: int
) -> None:
    wanted = parse_filter(filter)
    query = Query(text=" ".join(WORDS), reader=EVERYTHING, limit=10, filter=wanted, mode=mode)
    hits = (await many.search(query)).hits
    assert len(hits) == min(10, count)
    assert all(matches(wanted, hit.metadata) for hit in hits)


async def test_by_words_alone_and_by_vectors_alone(many: KnowledgeBase) -> None:
    text = (await many.search(Query(text="number77", reader=EVERYTHING, mode="text"))).hits
    assert [hit.document for hit in text] == ["p077.txt"], "only one has the word"
    assert (text[0].vector_score, text[0].score) == (None, text[0].text_score)
    dense = (await many.search(Query(text="number77", reader=EVERYTHING, mode="dense"))).hits
    assert len(dense) == 5
    assert all(hit.score == hit.vector_score for hit in dense)


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
async def test_words_must_do_until_another_embedder_has_made_its_vectors(
    base: KnowledgeBase, tmp_path: Path, mode: Mode
) -> None:
    changed = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(salt="x", dimensions=48))
    (first, *_) = (await changed.search(Query(text="twelve euros", reader=EVERYTHING, mode=mode))).hits
    assert (first.document, first.vector_score, first.score) == ("fees.md", None, first.text_score)
    changed.close()


async def test_a_passage_that_is_purged_before_its_neighbours_are_read_stays_as_it_was(
    base: KnowledgeBase, tmp_path: Path
) -> None:
    query = Query(text="channel nine", reader=EVERYTHING, limit=1, neighbours=2)
    (hit,) = (await base.search(query)).hits
    gone = msgspec.structs.replace(hit, chunk_id="gone")
    store = SqliteStore(tmp_path / "k.db")
    with store.database.read() as connection:
        reader = SqliteReader(connection, store.project_id)
        assert with_context(reader, Scope(1, EVERYTHING), [gone], query) == [gone]
    store.close()


async def test_common_words_are_looked_up_where_the_rare_ones_are_in_too_few(
    many: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "MAX_MATCHES", 1)
    query = Query(text="number77 harbour", reader=EVERYTHING, mode="text", limit=3)
    hits = (await many.search(query)).hits
    assert (hits[0].document, len(hits)) == ("p077.txt", 3)


async def test_other_phrasings_find_what_the_question_does_not(many: KnowledgeBase) -> None:
    query = Query(text="number77", queries=("number12", " ", "number77"), reader=EVERYTHING, mode="text")
    hits = (await many.search(query)).hits
    assert {hit.document for hit in hits} == {"p077.txt", "p012.txt"}


async def test_hits_below_a_score_are_left_out(many: KnowledgeBase) -> None:
    query = Query(text="number77 radio", reader=EVERYTHING)
    best = (await many.search(query)).hits
    kept = (await many.search(msgspec.structs.replace(query, min_score=best[1].score))).hits
    assert kept == best[:2]


async def test_diversity_puts_what_is_new_before_what_is_alike(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name, text in {
        "a.txt": "The ferry to Rhodes leaves at nine.",
        "b.txt": "The ferry to Rhodes leaves at nine!",
        "c.txt": "The ferry to Rhodes was built in Genoa.",
    }.items():
        (tmp_path / "docs" / name).write_text(text)
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(dimensions=64))
    await base.ingest(Sources(tmp_path / "docs"))
    query = Query(text="When does the ferry to Rhodes leave?", reader=EVERYTHING, limit=2)
    assert {hit.document for hit in (await base.search(query)).hits} == {"a.txt", "b.txt"}
    different = (await base.search(msgspec.structs.replace(query, diversity=0.7))).hits
    assert {hit.document for hit in different} == {"a.txt", "c.txt"}
    base.close()


async def test_neighbours_stand_around_a_passage(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    filler = ("It goes on for long enough to fill a passage of its own. " * 4).strip()
    parts = [f"# Part {number}\n\nThis part is about topic{number}. {filler}" for number in range(6)]
    (tmp_path / "docs" / "book.md").write_text("\n\n".join(parts))
    options = KnowledgeOptions(chunking=ChunkOptions(tokens=64))
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(dimensions=64), options)
    await base.ingest(Sources(tmp_path / "docs"))
    query = Query(text="topic3", reader=EVERYTHING, limit=1)
    alone = (await base.search(query)).hits[0]
    assert "topic2" not in alone.text
    wide = (await base.search(msgspec.structs.replace(query, neighbours=1))).hits[0]
    every = (await base.search(msgspec.structs.replace(query, limit=50, mode="dense"))).hits
    places = sorted((hit.start, hit.end) for hit in every)
    at = places.index((alone.start, alone.end))
    assert (wide.start, wide.end) == (places[at - 1][0], places[at + 1][1])
    assert base.document(wide.document_id, EVERYTHING).text[wide.start : wide.end] == wide.text
    several = (await base.search(msgspec.structs.replace(query, neighbours=5, limit=3))).hits
    own = {hit.chunk_id: (hit.start, hit.end) for hit in every}
    for at, hit in enumerate(several):
        start, end = own[hit.chunk_id]
        assert not any(before.start <= start and end <= before.end for before in several[:at]), "it was told before"
    base.close()


class Slow(FakeReranker):
    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        await asyncio.sleep(60)
        return np.zeros(len(texts), dtype=np.float32)


class Broken(FakeReranker):
    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        raise UpstreamFailed("The reranker is away.")


class Short(FakeReranker):
    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([float("nan")], dtype=np.float32)


async def test_a_reranker_decides_the_order(many: KnowledgeBase) -> None:
    hits = (await many.search(Query(text="radio crane", reader=EVERYTHING, limit=10))).hits
    recorder = Recorder()
    ordered = await reranked(FakeReranker(), "water number12", hits, recorder)  # type: ignore[arg-type]
    assert sorted(hit.document for hit in ordered) == sorted(hit.document for hit in hits)
    scores = [hit.score for hit in ordered]
    assert scores == sorted(scores, reverse=True) == [hit.rerank_score for hit in ordered]
    assert recorder.spans[0].kind == "reranker"


@pytest.mark.parametrize(
    ("reranker", "why"),
    [
        (Slow(), "no scores within 0.05 s"),
        (Broken(), "The reranker is away."),
        (Short(), "1 scores for 10 passages"),
    ],
)
async def test_without_a_reranker_in_time_the_order_stays(
    many: KnowledgeBase, reranker: FakeReranker, why: str
) -> None:
    hits = list((await many.search(Query(text="radio crane", reader=EVERYTHING, limit=10))).hits)
    recorder = Recorder()
    assert await reranked(reranker, "radio", hits, recorder, 0.05) == hits  # type: ignore[arg-type]
    assert why in recorder.spans[0].attributes["penstock.rerank.failed"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query(text="x", reader=EVERYTHING, rerank=True), "This knowledge has no reranker"),
        (Query(text="x", reader=EVERYTHING, diversity=1.5), "diversity 1.5 is no share"),
        (Query(text="x", reader=EVERYTHING, vector_weight=-1), "vector_weight -1 is no share"),
    ],
)
async def test_what_there_is_not_cannot_be_asked_for(base: KnowledgeBase, query: Query, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await base.search(query)
