"""How many passages an answer is made from: as many as the app says, wherever they are counted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import RecordingTracer, asking, collected, encoder

from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, Sources
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.testing.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "Which engineer designed the power station of the dam?"
BOTH = "Who designed the power station of the Ardor dam and within how many days can a product be returned?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    """Sixteen documents that all say something about the same, and one about another thing."""
    folder = tmp_path_factory.mktemp("depth")
    (folder / "docs").mkdir()
    for place in ("Ardor", "Belmo", *(f"Cad{letter}run" for letter in "abcdefghijklmn")):
        text = f"The power station of the {place} dam was designed by the engineer {place}son."
        (folder / "docs" / f"{place}.txt").write_text(text, "utf-8")
    (folder / "docs" / "returns.txt").write_text("A product can be returned within 30 days of purchase.", "utf-8")
    it = KnowledgeBase.open(folder / "knowledge.db", "handbook", embedder)
    try:
        await it.ingest(Sources(folder / "docs"))
        yield it
    finally:
        it.close()


@pytest.mark.parametrize(("passages", "read"), [(1, 1), (3, 3), (None, 4), (12, 12)])
async def test_a_model_reads_as_many_as_the_app_says(
    base: KnowledgeBase, embedder: SentenceEncoder, passages: int | None, read: int
) -> None:
    model = FakeProvider("Some engineer did.")
    settings = AnswerSettings(mode="compose", model="big", threshold=0.0, rounds=1, passages=passages)
    app = GroundedApp("handbook", base, embedder, model.answer, settings)
    await collected(app, asking(QUESTION))
    sent = "".join(message.text for message in model.exchanges[-1].messages)
    assert sent.count("<passage ") == read


@pytest.mark.parametrize(("passages", "ranked"), [(1, 1), (2, 2), (None, 5), (14, 14)])
async def test_quotes_come_from_no_others(
    base: KnowledgeBase, embedder: SentenceEncoder, passages: int | None, ranked: int
) -> None:
    settings = AnswerSettings(mode="quote", threshold=0.0, rounds=1, passages=passages)
    app = GroundedApp("handbook", base, embedder, None, settings)
    found = await app.find(asking(QUESTION))
    assert len(found.evidence.passages) == ranked
    assert all(each.sentence.at < ranked for each in found.evidence.ranked)


async def test_rounds_together_find_no_more_than_that(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    tracer = RecordingTracer()
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings(threshold=0.0, passages=1, rounds=3))
    found = await app.find(asking(BOTH, tracer=tracer))
    assert len(found.rounds) > 1
    assert {each.found.hits[0].document for each in found.rounds} == {"Ardor.txt", "returns.txt"}
    assert len(found.evidence.passages) == 1


async def test_more_are_searched_for_where_more_are_wanted(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    shallow, deep = (
        GroundedApp("handbook", base, embedder, None, AnswerSettings(passages=passages)) for passages in (3, 14)
    )
    assert shallow.query(QUESTION, EVERYTHING).limit == 10
    assert deep.query(QUESTION, EVERYTHING).limit == 14
