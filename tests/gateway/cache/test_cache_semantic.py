"""Questions in other words: what is compared, what is forgotten, and what the shipped threshold does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from support.hash_embedder import HashEmbedder

from penstock.errors import Unavailable
from penstock.exchange import Exchange
from penstock.gateway.cache.key import Question
from penstock.gateway.cache.semantic import SemanticIndex, calibration
from penstock.gateway.cache.sqlite import SqliteStore
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.seams import Embeddings, TextKind

EXCHANGE = Exchange(id="1", trace_id="2")
HERE = b"project1context"
KEY = b"project1key"


class Counting(HashEmbedder):
    """`batches` are the texts of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        self.batches.append(list(texts))
        return await super().embed(texts, urgent=urgent, kind=kind)


async def found(index: SemanticIndex, text: str, context: bytes = HERE) -> bytes | None:
    likeness = await index.nearest(Question(text, context), EXCHANGE)
    return likeness.key if likeness else None


async def test_the_same_question_in_other_words_is_found() -> None:
    index = SemanticIndex(Counting(), 0.9, 100)
    index.remember(KEY, Question("How high is the dam?", HERE))
    assert await found(index, "Please tell me how high the dam is") == KEY
    assert await found(index, "How high was the bridge?") is None
    assert await found(index, "How high is the dam?", context=b"project1other") is None


async def test_nothing_is_embedded_where_no_question_has_the_same_words() -> None:
    embedder = Counting()
    index = SemanticIndex(embedder, 0.9, 100)
    for year in range(1990, 2020):
        index.remember(b"%d" % year, Question(f"How high was the water in {year}?", HERE))
    assert await found(index, "How high was the water in 2021?") is None
    assert embedder.batches == []
    assert await found(index, "In 2001, how high was the water?") == b"2001"
    assert await found(index, "The water in 2001: how high was it?") == b"2001"
    assert [len(batch) for batch in embedder.batches] == [2, 1]


async def test_the_nearest_of_several_is_taken() -> None:
    index = SemanticIndex(Counting(), 0.0, 100)
    index.remember(b"one", Question("What is the height of the dam?", HERE))
    index.remember(b"two", Question("the dam height, what is it", HERE))
    likeness = await index.nearest(Question("the dam height, what is it please", HERE), EXCHANGE)
    assert likeness is not None and likeness.cosine == pytest.approx(1.0)


async def test_below_the_threshold_is_another_question() -> None:
    index = SemanticIndex(Counting(), 1.01, 100)
    index.remember(KEY, Question("How high is the dam?", HERE))
    assert await found(index, "Please tell me how high the dam is") is None


async def test_an_embedder_that_is_slow_or_down_costs_a_little_time(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(HashEmbedder):
        async def embed(
            self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage"
        ) -> Embeddings:
            await asyncio.Event().wait()
            raise AssertionError

    class Down(HashEmbedder):
        async def embed(
            self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage"
        ) -> Embeddings:
            raise Unavailable("The embedder has stopped.")

    for embedder, reason in ((Stuck(), "TimeoutError"), (Down(), "The embedder has stopped.")):
        index = SemanticIndex(embedder, 0.9, 100)
        index.remember(KEY, Question("How high is the dam?", HERE))
        assert await found(index, "Tell me how high the dam is") is None
        assert reason in caplog.text


async def test_what_was_used_longest_ago_is_forgotten() -> None:
    index = SemanticIndex(Counting(), 0.9, 10)
    for number in range(30):
        index.remember(b"%d" % number, Question(f"What is the height of dam {number}?", HERE))
        assert len(index) <= 10
    assert await found(index, "the height of dam 29, what is it") == b"29"
    assert await found(index, "the height of dam 3, what is it") is None


async def test_many_wordings_of_one_question_are_bounded() -> None:
    index = SemanticIndex(Counting(), 0.9, 1000)
    for number in range(200):
        index.remember(b"%d" % number, Question("dam " + "please " * number, HERE))
    assert len(index) <= 16
    for _ in range(5):
        index.remember(b"again", Question("dam", HERE))
    assert len(index) <= 16


async def test_a_project_is_forgotten_alone() -> None:
    index = SemanticIndex(Counting(), 0.9, 100)
    index.remember(b"project1key", Question("How high is the dam?", b"project1"))
    index.remember(b"project2key", Question("How high is the dam?", b"project2"))
    index.clear(b"project1")
    assert len(index) == 1
    assert await found(index, "how high the dam is", b"project1") is None
    assert await found(index, "how high the dam is", b"project2") == b"project2key"


async def test_questions_survive_a_restart_with_the_sqlite_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cache.db", 100_000)
    index = SemanticIndex(Counting(), 0.9, 100, store)
    store.put(KEY, b"answer", 60)
    index.remember(KEY, Question("How high is the dam?", HERE))
    await store.close()
    again = SqliteStore(tmp_path / "cache.db", 100_000)
    assert await found(SemanticIndex(Counting(), 0.9, 100, again), "how high the dam is") == KEY
    await again.close()


def test_the_calibration_that_ships_keeps_its_bound() -> None:
    shipped = calibration()
    assert 0.7 < shipped.threshold < 1
    assert shipped.measured.questions > 10_000
    assert shipped.measured.false_hits < shipped.bound
    assert max(shipped.measured.altered.values()) < 0.05


@pytest_asyncio.fixture
async def minilm(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    embedder = SentenceEncoder(minilm_folder)
    await embedder.start()
    yield embedder
    await embedder.close()


async def test_the_real_encoder_with_the_shipped_threshold(minilm: SentenceEncoder, shared_data: Path) -> None:
    """On a sample of real questions: few are given the answer to one with another intent, some are found."""
    clinc = json.loads((shared_data / "intents" / "clinc_full.json").read_text())
    intents = dict(clinc["test"][:1500])
    index = SemanticIndex(minilm, calibration().threshold, 10_000)
    for text in intents:
        index.remember(text.encode(), Question(text, HERE))
    asked = dict(clinc["val"][:600])
    right = wrong = 0
    for text, intent in asked.items():
        if text not in intents and (key := await found(index, text)) is not None:
            right += intents[key.decode()] == intent
            wrong += intents[key.decode()] != intent
    assert right >= 20
    assert wrong <= 3
