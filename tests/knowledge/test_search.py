"""Search: both scores, the mix, spans, and questions of any shape."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hash_embedder import HashEmbedder

from penstock.errors import NotFound
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, Query, Sources
from penstock.knowledge.search.mixing import best_first, mix

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
    assert best_first(np.array(scores, dtype=np.float32), limit) == expected
