"""Rounds of search: what makes another one worth it, what it adds, and that it takes nothing away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import RecordingTracer, asking, collected, encoder, written

from penstock.errors import UpstreamFailed
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.answering.hops import bridged, parts_of
from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.testing.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = "Who designed the power station of the Ardor dam and within how many days can a customer return a product?"
PLACES = [f"{first}{last}" for first in ("Ar", "Bel", "Cad", "Del") for last in ("dor", "mo", "run", "lin", "va")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    """Many documents about the first half of the question crowd out the one about the second."""
    folder = tmp_path_factory.mktemp("rounds")
    docs = written(folder / "docs")
    for number, place in enumerate(PLACES):
        text = (
            f"The power station of the {place} dam was designed by the engineer {place}son in {1900 + number}. "
            f"A customer of the {place} dam can buy its product, electricity, on all days of the year."
        )
        (docs / f"{place}.txt").write_text(text, "utf-8")
    it = KnowledgeBase.open(folder / "knowledge.db", "handbook", embedder)
    try:
        await it.ingest(Sources(docs))
        yield it
    finally:
        it.close()


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Who built it and when was it finished?", ("Who built it?", "when was it finished?")),
        ("Who is the king, and how old is he?", ("Who is the king?", "how old is he?")),
        ("What did Rollo do? Where is he buried?", ("What did Rollo do?", "Where is he buried?")),
        ("What did Rollo and Charles sign?", ("What did Rollo and Charles sign?",)),
        ("Under the law of 1905, who signs?", ("Under the law of 1905, who signs?",)),
        ("How high is the dam?", ("How high is the dam?",)),
        ("", ("",)),
    ],
)
async def test_a_question_falls_into_the_questions_that_it_asks(question: str, parts: tuple[str, ...]) -> None:
    assert parts_of(question) == parts


async def test_a_thing_that_is_named_by_another_is_noticed() -> None:
    assert bridged("In which city was the man who designed the power station born?")
    assert not bridged("How high is the dam?")


async def test_the_second_round_finds_the_other_half_and_both_are_quoted(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    tracer = RecordingTracer()
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings())
    text, grounding, _ = await collected(app, asking(BOTH, tracer=tracer))
    assert {"Ardor.txt", "returns.md"} <= {citation.document for citation in grounding.citations}
    assert "Ardorson" in text
    assert "30 days" in text
    first, second = (span for span in tracer.spans if span.name.startswith("round"))
    assert first.attributes["penstock.round.goes_on"]
    assert "parts" in first.attributes["penstock.round.decision"]
    assert first.attributes["penstock.round.next"] == second.attributes["query"]
    assert not second.attributes["penstock.round.goes_on"]


async def test_one_round_is_one_search(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    tracer = RecordingTracer()
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings(rounds=1))
    await collected(app, asking(BOTH, tracer=tracer))
    assert [span.name for span in tracer.spans].count("search") == 1
    assert tracer.named("round 1").attributes["penstock.round.decision"] == "no more rounds are allowed"


async def test_a_plain_question_needs_no_second_round(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    tracer = RecordingTracer()
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings(rounds=5))
    await collected(app, asking("How high is the Grand Valley Dam?", tracer=tracer))
    assert tracer.named("round 1").attributes["penstock.round.decision"] == "enough was found"
    assert [span.name for span in tracer.spans].count("search") == 1


async def test_a_round_that_fails_takes_nothing_away(
    base: KnowledgeBase, embedder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, asked = base.search, []

    async def once(query, tracer=None):  # type: ignore[no-untyped-def]
        asked.append(query.text)
        if len(asked) > 1:
            raise UpstreamFailed("the encoder is gone")
        return await search(query, tracer)

    monkeypatch.setattr(base, "search", once)
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings())
    _, grounding, _ = await collected(app, asking(BOTH))
    assert len(asked) == 2
    assert grounding.answered
    assert grounding.citations


async def test_a_model_words_the_next_query_where_it_may(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model, tracer = FakeProvider('"return period of products"\n'), RecordingTracer()
    settings = AnswerSettings(mode="quote", model="small", rewrites=("rounds",))
    app = GroundedApp("handbook", base, embedder, model.answer, settings)
    text, _, _ = await collected(app, asking(BOTH, tracer=tracer))
    assert tracer.named("round 2").attributes["query"] == "return period of products"
    assert "30 days" in text
    (sent,) = model.exchanges
    assert (sent.model, sent.parameters.max_tokens) == ("small", 48)


async def test_a_model_that_fails_leaves_the_query_of_words(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider(UpstreamFailed("no"))
    settings = AnswerSettings(mode="quote", model="small", rewrites=("rounds",))
    text, _, _ = await collected(GroundedApp("handbook", base, embedder, model.answer, settings), asking(BOTH))
    assert "30 days" in text


async def test_what_nothing_answers_stays_unanswered(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings(rounds=5))
    _, grounding, _ = await collected(
        app, asking("Who won the cup in 2014 and what is the boiling point of tungsten?")
    )
    assert not grounding.answered
