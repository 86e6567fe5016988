"""Answers in quotes alone, decoded by the default model under the grammar of the passages."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import asking, collected, documents, encoder

from penstock.exchange import Parameters
from penstock.knowledge.answer import NOT_SAID, AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING, KnowledgeBase
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.engines import EngineSettings, build_engine
from penstock.seams import Engine

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTES = re.compile(r"“[^”]+” \[\d+\](?: “[^”]+” \[\d+\])*")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    async with documents(tmp_path_factory.mktemp("held"), embedder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(smollm2_file: Path) -> AsyncIterator[Engine]:
    settings = EngineSettings(
        model="small",
        file=smollm2_file,
        context=2048,
        cache_tokens=2048,
        max_running=2,
        max_waiting=2,
        default_max_tokens=96,
        threads=1,
    )
    it = build_engine("openvino", settings)
    await it.start()
    yield it
    await it.close()


@pytest.mark.parametrize(
    "question",
    [
        "How high is the Grand Valley Dam?",
        "Within how many days can a customer return a product?",
        "What is the code word?",
        "富士山の高さは?",
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_every_answer_is_quotes_that_stand_in_their_documents(
    base: KnowledgeBase, embedder: SentenceEncoder, engine: Engine, question: str, temperature: float
) -> None:
    settings = AnswerSettings(mode="constrained", model="small", threshold=0.0)
    app = GroundedApp("handbook", base, embedder, engine.answer, settings)
    parameters = Parameters(temperature=temperature, seed=7)
    text, grounding, _ = await collected(app, asking(question, parameters=parameters))
    assert QUOTES.fullmatch(text), text
    used = [each for each in grounding.citations if each.answer_start is not None]
    assert " ".join(text[each.answer_start : each.answer_end] for each in used) == text
    for each in used:
        document = base.document(each.document_id, EVERYTHING)
        assert document.text[each.start : each.end] == each.quote
        assert text[each.answer_start : each.answer_end] == f"“{each.quote}” [{each.number}]"
    assert (grounding.answered, grounding.grounded) == (True, 1.0)


async def test_a_model_that_may_say_so_quotes_or_says_that_the_documents_do_not(
    base: KnowledgeBase, embedder: SentenceEncoder, engine: Engine
) -> None:
    settings = AnswerSettings(mode="constrained", model="small", threshold=0.0, grounds_well=True)
    app = GroundedApp("handbook", base, embedder, engine.answer, settings)
    text, grounding, _ = await collected(app, asking("How high is the Grand Valley Dam?"))
    assert text == NOT_SAID or QUOTES.fullmatch(text)
    assert grounding.answered == (text != NOT_SAID)
