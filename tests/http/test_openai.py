"""The OpenAI dialect on real sockets, with the official client."""

import asyncio
import base64
import json
from pathlib import Path

import numpy as np
import openai
import pytest
from support.gateway_site import embedder, model, site

from penstock.exchange import Chunk, Citation, Grounding, TokenLogprob, Usage
from penstock.gateway.registry import Target
from penstock.testing import FakeProvider

HI = [{"role": "user", "content": "Say hello"}]


def citation(**fields: object) -> Citation:
    return Citation(
        **{
            "number": 1,
            "document_id": "doc_1",
            "document": "guide/gate.md",
            "title": "The gate",
            "chunk_id": "chk_1",
            "heading": ("Guide", "Gate"),
            "start": 10,
            "end": 30,
            "quote": "one person can close",
            "score": 0.8,
            "url": "/knowledge/manuals/doc_1?chunk=chk_1&start=10&end=30",
        }
        | fields
    )


def grounding(stage: str, *citations: Citation) -> Grounding:
    return Grounding(
        stage=stage,
        mode="quote",
        knowledge="manuals",
        generation=7,
        answered=True,
        score=0.9,
        citations=citations,
        unsupported=((5, 9),) if stage == "answer" else (),
    )


def grounded_app() -> Target:
    used = citation(answer_start=0, answer_end=5)
    provider = FakeProvider(
        Chunk(grounding=grounding("evidence", citation())),
        "Close",
        " it.",
        Chunk(grounding=grounding("answer", used), finish_reason="stop", usage=Usage(100, 3)),
    )
    operations = frozenset({"chat"})
    return Target(name="docs", kind="app", provider=provider, operations=operations, release_id="rel_abc")


@pytest.mark.drives("POST /v1/chat/completions")
async def test_the_official_client_gets_an_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        answer = await it.client().chat.completions.create(model="tiny", messages=HI)
    assert answer.choices[0].message.content == "Hello world"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", "tiny")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 2, 4)
    assert answer.usage.prompt_tokens_details.cached_tokens is None  # unknown, not zero


async def test_the_official_client_gets_a_stream(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        stream = await it.client().chat.completions.create(model="tiny", messages=HI, stream=True)
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello world"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_comes_last_in_a_stream_that_asks_for_it(tmp_path: Path) -> None:
    body = {"model": "tiny", "messages": HI, "stream": True, "stream_options": {"include_usage": True}}
    async with site(tmp_path) as it:
        events = await it.events("/v1/chat/completions", body)
    assert events[-1] == b"[DONE]"
    *pieces, usage = map(json.loads, events[:-1])
    assert all(piece["usage"] is None for piece in pieces)
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 4


@pytest.mark.drives("POST /v1/completions")
async def test_completions(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        client = it.client()
        whole = await client.completions.create(model="tiny", prompt="Say hello")
        stream = await client.completions.create(model="tiny", prompt="Say hello", stream=True)
        pieces = [piece async for piece in stream]
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("Hello world", "stop")
    assert whole.object == "text_completion"
    assert "".join(piece.choices[0].text for piece in pieces) == "Hello world"
    assert pieces[-1].choices[0].finish_reason == "stop"


async def test_log_probabilities(tmp_path: Path) -> None:
    spoken = Chunk(text="Hé", logprobs=(TokenLogprob("H", -0.1), TokenLogprob("é", -0.5)))
    async with site(tmp_path, model(FakeProvider(spoken))) as it:
        client = it.client()
        answer = await client.chat.completions.create(model="tiny", messages=HI, logprobs=True)
        completion = await client.completions.create(model="tiny", prompt="Hi", logprobs=0)
    content = answer.choices[0].logprobs.content
    assert [(each.token, each.logprob) for each in content] == [("H", -0.1), ("é", -0.5)]
    assert bytes(content[1].bytes) == "é".encode()
    assert completion.choices[0].logprobs.tokens == ["H", "é"]
    assert completion.choices[0].logprobs.text_offset == [0, 1]


@pytest.mark.drives("POST /v1/embeddings")
async def test_embeddings_as_numbers_and_as_base64(tmp_path: Path) -> None:
    async with site(tmp_path, embedder()) as it:
        client = it.client()
        official = await client.embeddings.create(model="vectors", input=["a gate", "a wheel"])
        numbers = await client.embeddings.create(model="vectors", input="a gate", encoding_format="float")
        _, packed, _ = await it.post(
            "/v1/embeddings", {"model": "vectors", "input": "a gate", "encoding_format": "base64"}
        )
    assert [each.index for each in official.data] == [0, 1]
    assert official.usage.prompt_tokens == 4
    vector = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    assert len(vector) == 8
    assert np.array_equal(vector, np.asarray(numbers.data[0].embedding, "<f4"))
    assert np.array_equal(vector, np.asarray(official.data[0].embedding, "<f4"))


async def test_a_grounded_answer_carries_its_citations(tmp_path: Path) -> None:
    async with site(tmp_path, grounded_app()) as it:
        _, answer, headers = await it.chat(model="docs")
        trace = await it.last_trace()
    message = answer["choices"][0]["message"]
    address = f"{it.url}/knowledge/manuals/doc_1?chunk=chk_1&start=10&end=30"
    assert message["content"] == "Close it."
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"url": address, "title": "The gate", "start_index": 0, "end_index": 5},
        }
    ]
    found = answer["penstock"]
    assert found["citations"][0]["url"] == address
    assert found["citations"][0]["quote"] == "one person can close"
    assert (found["answered"], found["generation"], found["unsupported"]) == (True, 7, [[5, 9]])
    assert found["release"] == headers["x-penstock-release"] == trace.trace.release_id == "rel_abc"
    assert found["trace_id"] == headers["x-penstock-trace-id"] == trace.trace.id


async def test_a_grounded_stream_shows_evidence_first_and_citations_last(tmp_path: Path) -> None:
    async with site(tmp_path, grounded_app()) as it:
        events = await it.events("/v1/chat/completions", {"model": "docs", "messages": HI, "stream": True})
        stream = await it.client().chat.completions.create(model="docs", messages=HI, stream=True)
        official = [chunk async for chunk in stream]
    assert events.pop() == b"[DONE]"
    first, *_, last = map(json.loads, events)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["penstock"]["stage"] == "evidence"
    assert first["penstock"]["citations"][0]["answer_start"] is None
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["content"] == ""
    assert last["choices"][0]["delta"]["annotations"][0]["url_citation"]["end_index"] == 5
    assert last["penstock"]["stage"] == "answer"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in official) == "Close it."


async def test_evidence_arrives_before_the_answer_is_written(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    provider = FakeProvider(Chunk(grounding=grounding("evidence", citation())), go_on, "Close it.")
    app = Target(name="docs", kind="app", provider=provider, operations=frozenset({"chat"}))
    body = {"model": "docs", "messages": HI, "stream": True}
    async with site(tmp_path, app) as it, it.session.post(f"{it.url}/v1/chat/completions", json=body) as response:
        first = await response.content.readuntil(b"\n\n")
        assert b'"stage":"evidence"' in first
        go_on.set()
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


@pytest.mark.drives("GET /v1/models", "GET /v1/models/{name}")
async def test_models_are_listed_and_found(tmp_path: Path) -> None:
    targets = (grounded_app(), model(), embedder(), model(name="org/large"))
    async with site(tmp_path, *targets) as it:
        client = it.client()
        listed = [each.id async for each in client.models.list()]
        one = await client.models.retrieve("docs")
        _, slashed, _ = await it.get("/v1/models/org/large")
        with pytest.raises(openai.NotFoundError, match="did you mean 'docs'"):
            await client.models.retrieve("dosc")
    assert listed == ["docs", "tiny", "vectors", "org/large"]
    assert (one.id, one.object, one.owned_by) == ("docs", "model", "penstock")
    assert slashed["operations"] == ["chat", "complete"]


async def test_errors_reach_the_official_client(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        with pytest.raises(openai.NotFoundError) as caught:
            await it.client().chat.completions.create(model="tyni", messages=HI)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "did you mean 'tiny'?" in caught.value.message
    assert "penstock.toml" in caught.value.message
