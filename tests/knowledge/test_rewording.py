"""Searches in a model's words: follow-ups that stand alone, several phrasings, and what goes on without a model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import RecordingTracer, asking, collected, encoder, written

from penstock.errors import ConfigError, UpstreamFailed
from penstock.exchange import Exchange, Message
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.answering.wording import LONGEST, TURNS, turns_before
from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.knowledge.question import LONGEST_TURN
from penstock.knowledge.why import explain
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.testing.provider import FakeProvider, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALK = ("How high is the Grand Valley Dam?", "221 metres.", "And what does it cost to send something back?")
ALONE = "Within how many days can a customer return a product?"
PHRASINGS = "1. What is the return period?\n2. Until when are goods taken back?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(embedder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    folder = tmp_path_factory.mktemp("wording")
    it = KnowledgeBase.open(folder / "knowledge.db", "handbook", embedder)
    try:
        await it.ingest(Sources(written(folder / "docs")))
        yield it
    finally:
        it.close()


def rewriting(exchange: Exchange) -> list[Step]:
    """What a model makes of the two prompts."""
    return [ALONE] if "<turn " in exchange.messages[-1].text else [PHRASINGS]


def app_of(base: KnowledgeBase, embedder: SentenceEncoder, model: FakeProvider, **changes: object) -> GroundedApp:
    settings = AnswerSettings(mode="quote", rewrite_model="small", rounds=1, **changes)  # type: ignore[arg-type]
    return GroundedApp("handbook", base, embedder, model.answer, settings)


async def test_a_follow_up_is_searched_for_as_a_question_that_stands_alone(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model, tracer = FakeProvider(f'"{ALONE}"\n'), RecordingTracer()
    app = app_of(base, embedder, model, rewrites=("follow-ups",))
    caller = asking(*TALK, tracer=tracer)
    text, _, _ = await collected(app, caller)
    assert "30 days" in text
    assert tracer.named("search").attributes["query"] == ALONE
    assert tracer.named("rewrite").attributes["query"] == ALONE
    (sent,) = model.exchanges
    assert (sent.model, sent.app, sent.parent_id, sent.trace_id) == (
        "small",
        "handbook",
        caller.id,
        caller.trace_id,
    )
    assert "221 metres." in sent.messages[-1].text


async def test_a_first_question_is_not_a_follow_up(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider(ALONE)
    await collected(app_of(base, embedder, model, rewrites=("follow-ups",)), asking(TALK[0]))
    assert model.exchanges == []


async def test_phrasings_are_searched_with_the_question(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model, tracer = FakeProvider(script=rewriting), RecordingTracer()
    app = app_of(base, embedder, model, rewrites=("follow-ups", "phrasings"))
    found = await app.find(asking(*TALK, tracer=tracer))
    assert found.searched == (ALONE, "What is the return period?", "Until when are goods taken back?")
    assert tracer.named("search").attributes["queries"] == list(found.searched)
    assert found.evidence.question.text == ALONE
    assert len(model.exchanges) == 2


async def test_later_rounds_search_for_their_own_words_alone(
    base: KnowledgeBase, embedder: SentenceEncoder
) -> None:
    model = FakeProvider(PHRASINGS)
    settings = AnswerSettings(mode="quote", rewrite_model="small", rewrites=("phrasings",), rounds=2)
    app = GroundedApp("handbook", base, embedder, model.answer, settings)
    found = await app.find(asking("Who won the cup in 2014 and what is the boiling point of tungsten?"))
    assert [len(each.phrasings) for each in found.rounds] == [2, 0]


async def test_why_says_what_was_searched_for(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider(script=rewriting)
    app = app_of(base, embedder, model, rewrites=("follow-ups", "phrasings"))
    told = await explain(app, asking(*TALK), None)
    assert told.question == ALONE
    assert told.searched == (ALONE, "What is the return period?", "Until when are goods taken back?")


@pytest.mark.parametrize(
    "steps", [(UpstreamFailed("no"),), ("",), (" \n\n",), ("so many words " * LONGEST,), (asyncio.Event(),)]
)
async def test_a_model_that_fails_is_silent_or_late_leaves_the_question_as_it_was(
    base: KnowledgeBase, embedder: SentenceEncoder, steps: tuple[Step, ...]
) -> None:
    model, tracer = FakeProvider(*steps), RecordingTracer()
    app = app_of(base, embedder, model, rewrites=("follow-ups",), rewrite_seconds=0.05)
    plain = GroundedApp("handbook", base, embedder, None, AnswerSettings(mode="quote", rounds=1))
    found = await app.find(asking(*TALK, tracer=tracer))
    assert found.searched == (await plain.find(asking(*TALK))).searched
    assert not tracer.named("rewrite").attributes.get("query")
    await model.until(lambda it: it.running == 0)


async def test_a_late_phrasing_does_not_hold_up_the_search(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    model = FakeProvider(asyncio.Event())
    app = app_of(base, embedder, model, rewrites=("follow-ups", "phrasings"), rewrite_seconds=0.05)
    assert len((await app.find(asking(*TALK))).searched) == 1
    await model.until(lambda it: it.running == 0)


async def test_without_a_model_nothing_can_be_worded(base: KnowledgeBase, embedder: SentenceEncoder) -> None:
    with pytest.raises(ConfigError, match="is to let a model word its searches but has no model"):
        GroundedApp("handbook", base, embedder, None, AnswerSettings(rewrites=("phrasings",)))


async def test_the_model_sees_the_last_turns_and_no_instructions_of_the_caller() -> None:
    talk = [Message("system", "Be brief."), *(Message("user", f"{n} " + "x" * 9_000) for n in range(9))]
    turns = turns_before([*talk, Message("user", "And then?")])
    assert [turn.text[0] for turn in turns] == ["3", "4", "5", "6", "7", "8"]
    assert (len(turns), max(len(turn.text) for turn in turns)) == (TURNS, LONGEST_TURN)
    assert (
        turns_before([Message("system", "Be brief."), Message("assistant", "Hello!"), Message("user", "Hi")]) == ()
    )
