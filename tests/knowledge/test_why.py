"""What an answer hangs on: named by leaving each passage out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import asking, documents, encoder

from penstock.exchange import Principal
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.why import explain
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.testing.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    async with documents(tmp_path_factory.mktemp("why"), embedder) as it:
        yield it


@pytest.mark.parametrize(
    ("question", "document"),
    [
        ("How high is the Grand Valley Dam?", "dam.txt"),
        ("Within how many days can a customer return a product?", "returns.md"),
        ("Who did the Normans swear fealty to?", "normans.md"),
        ("What is the code word?", 'odd "name" & more.txt'),
    ],
)
async def test_the_passage_with_the_answer_comes_first(
    base: KnowledgeBase, embedder: SentenceEncoder, question: str, document: str
) -> None:
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings(sentences=1))
    told = await explain(app, asking(question), None)
    assert told.answered
    assert told.hangs_on[0].document == document
    assert told.passages[0].words_changed > 0.5
    assert [each.influence for each in told.passages] == sorted(
        (each.influence for each in told.passages), reverse=True
    )
    assert await explain(app, asking(question), None) == told


async def test_a_generation_that_is_gone_is_told_by_the_published_one(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    app = GroundedApp("handbook", base, embedder, None, AnswerSettings())
    assert (await explain(app, asking("What is the code word?"), 999)).generation == base.generation()


async def test_where_a_model_writes_it_writes_again(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider("The code word is mango. [1]")
    app = GroundedApp("handbook", base, embedder, model.answer, AnswerSettings(mode="compose", model="big"))
    told = await explain(app, asking("What is the code word?", principal=Principal()), None)
    assert len(model.exchanges) == 1 + sum(each.answered for each in told.passages)
    assert {(sent.parameters.temperature, sent.parameters.seed) for sent in model.exchanges} == {(0.0, 1)}
