"""What every reranker does: one class, run against a cross-encoder in two formats, the fake, and three APIs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from support.embedding_apis import jina_rerank, logit_rerank, reply, voyage_rerank
from support.tiny_models import TinyBert, write_onnx, write_tokenizer

from penstock.config.secret import Secret
from penstock.errors import PenstockError, Unavailable, UpstreamFailed
from penstock.models.encoders.supervised import ModelOptions
from penstock.models.providers.vendors import remote
from penstock.models.rerankers.cross import CrossEncoder
from penstock.models.rerankers.remote import RemoteReranker
from penstock.seams import Reranker
from penstock.testing import FakeReranker, ProviderServer, Received, Reply

KEY = Secret("sk-not-a-real-key")
PLAIN = ModelOptions(precision="f32", threads=1)
APIS: dict[str, tuple[str, Callable[[Received], Reply]]] = {
    "jina": ("jina/jina-reranker-v2", jina_rerank),
    "voyage": ("voyage/rerank-2.5", voyage_rerank),
    "cohere": ("cohere/rerank-v3.5", jina_rerank),
    "own": ("own/bge-reranker", logit_rerank),
}
QUERY = "how is the gate"
TEXTS = ["the gate is open", "water water", "the turbine", "gate", "closed", ""]


@pytest.fixture(params=["bert", "onnx", "fake", *APIS])
async def reranker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reranker]:
    async with AsyncExitStack() as stack:
        made: Reranker
        if request.param == "fake":
            made = FakeReranker()
        elif request.param in APIS:
            use, behave = APIS[request.param]
            server = await stack.enter_async_context(ProviderServer(behave))
            made = RemoteReranker(remote(use, server.base_url, KEY))
        else:
            if request.param == "bert":
                TinyBert().write(tmp_path)
            else:
                write_tokenizer(tmp_path)
                write_onnx(tmp_path, "logits", 1, types=True)
            made = CrossEncoder(tmp_path, PLAIN)
            await made.start()
        stack.push_async_callback(made.close)
        yield made


class TestReranker:
    async def test_each_text_has_a_score_from_0_to_1(self, reranker: Reranker) -> None:
        scores = await reranker.rerank(QUERY, TEXTS)
        assert (scores.shape, scores.dtype) == ((len(TEXTS),), np.float32)
        assert scores.min() >= 0
        assert scores.max() <= 1

    async def test_no_texts_have_no_scores(self, reranker: Reranker) -> None:
        assert (await reranker.rerank(QUERY, [])).shape == (0,)

    async def test_scores_stand_in_the_order_of_the_texts(self, reranker: Reranker) -> None:
        forward = await reranker.rerank(QUERY, TEXTS)
        backward = await reranker.rerank(QUERY, TEXTS[::-1])
        np.testing.assert_allclose(forward, backward[::-1], atol=1e-5)
        assert len(set(forward.tolist())) > 1

    async def test_calls_at_once_get_their_own(self, reranker: Reranker) -> None:
        queries = [QUERY, "water", "turbine"]
        answers = await asyncio.gather(*(reranker.rerank(query, TEXTS) for query in queries))
        for query, scores in zip(queries, answers, strict=True):
            np.testing.assert_allclose(scores, await reranker.rerank(query, TEXTS), atol=1e-5)

    async def test_long_and_odd_texts_are_scored(self, reranker: Reranker) -> None:
        scores = await reranker.rerank(QUERY, ["water " * 4000, "half a pair: \ud83d", "\x00"])
        assert np.isfinite(scores).all()

    async def test_it_has_a_name_and_a_fingerprint_without_a_key(self, reranker: Reranker) -> None:
        assert reranker.name
        assert reranker.fingerprint
        assert "sk-not-a-real-key" not in reranker.fingerprint


async def test_a_cross_encoder_has_the_arithmetic_of_a_bert(tmp_path: Path) -> None:
    bert = TinyBert()
    tokenizer = bert.write(tmp_path)
    reranker = CrossEncoder(tmp_path, PLAIN)
    await reranker.start()
    try:
        scores = await reranker.rerank(QUERY, TEXTS)
    finally:
        await reranker.close()
    pairs = [tokenizer.encode(QUERY, text) for text in TEXTS]
    np.testing.assert_allclose(scores, [bert.score(pair.ids, pair.type_ids) for pair in pairs], atol=1e-5)


async def test_an_exported_cross_encoder_sees_which_text_is_which(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path)
    table = write_onnx(tmp_path, "logits", 1, types=True)[:, 0]
    reranker = CrossEncoder(tmp_path, PLAIN)
    await reranker.start()
    try:
        scores = await reranker.rerank(QUERY, TEXTS)
    finally:
        await reranker.close()
    expected = []
    for text in TEXTS:
        pair = tokenizer.encode(QUERY, text)
        logit = sum(table[id] * (1 + kind) for id, kind in zip(pair.ids, pair.type_ids, strict=True))
        expected.append(1 / (1 + np.exp(-logit)))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


async def test_a_classifier_of_several_classes_is_no_reranker(tmp_path: Path) -> None:
    TinyBert(labels=3).write(tmp_path)
    reranker = CrossEncoder(tmp_path, PLAIN)
    with pytest.raises(Unavailable, match="tells 3 classes apart; a reranker gives one score"):
        await reranker.start()
    await reranker.close()


async def test_a_sentence_encoder_is_no_reranker(tmp_path: Path, minilm_folder: Path) -> None:
    reranker = CrossEncoder(minilm_folder, PLAIN)
    with pytest.raises(Unavailable, match=r"cannot be run: it lacks 'classifier\.weight'"):
        await reranker.start()
    await reranker.close()


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"index": 0, "relevance_score": 0.5}], "sent scores for 1 of 2 texts"),
        ([{"index": 7, "relevance_score": 0.5}], "ranked a text 7 of 2"),
        ([], "sent scores for 0 of 2 texts"),
    ],
)
async def test_a_ranking_that_cannot_be_one_is_named(results: list[object], message: str) -> None:
    async with ProviderServer() as server:
        server.answers.append(reply({"results": results}))
        reranker = RemoteReranker(remote("own/ranker", server.base_url, KEY))
        with pytest.raises(UpstreamFailed, match=message):
            await reranker.rerank("q", ["a", "b"])
        await reranker.close()


async def test_what_fails_for_a_moment_is_asked_once_more() -> None:
    async with ProviderServer(jina_rerank) as server:
        server.answers.append(reply({"error": {"message": "busy"}}, 503))
        reranker = RemoteReranker(remote("own/ranker", server.base_url, KEY))
        assert (await reranker.rerank("gate", ["gate"])).tolist() == [1.0]
        assert len(server.received) == 2
        server.answers.append(reply({"error": {"message": "no such model"}}, 404))
        with pytest.raises(PenstockError, match="no such model"):
            await reranker.rerank("gate", ["gate"])
        assert len(server.received) == 3
        await reranker.close()
