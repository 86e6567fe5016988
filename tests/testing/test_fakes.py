"""The fakes behave as the seams say."""

import asyncio
from contextlib import aclosing

import aiohttp
import numpy as np
import pytest

from penstock.errors import Overloaded
from penstock.exchange import Chunk, Exchange, Message, Usage
from penstock.ids import new_trace_id
from penstock.testing import Cut, FakeEmbedder, FakeProvider, ProviderServer, Reply, Stream


def ask(text: str = "How many words") -> Exchange:
    return Exchange(id="req_1", trace_id=new_trace_id(), messages=(Message("user", text),))


async def test_a_scripted_answer() -> None:
    provider = FakeProvider("two ", "words")
    answer = [chunk async for chunk in provider.answer(ask())]
    assert [chunk.text for chunk in answer] == ["two ", "words", ""]
    assert (answer[-1].finish_reason, answer[-1].usage) == ("stop", Usage(3, 2))
    assert (provider.running, provider.left, len(provider.exchanges)) == (0, 0, 1)


async def test_a_script_can_end_itself_fail_and_depend_on_the_question() -> None:
    ends = FakeProvider(Chunk(text="cut", finish_reason="length"))
    assert [chunk.finish_reason async for chunk in ends.answer(ask())] == ["length"]
    with pytest.raises(Overloaded):
        async for _ in FakeProvider("a", Overloaded("full")).answer(ask()):
            pass
    echo = FakeProvider(script=lambda exchange: [exchange.messages[-1].text])
    assert [chunk.text async for chunk in echo.answer(ask("Hi"))] == ["Hi", ""]


async def test_leaving_is_counted() -> None:
    provider = FakeProvider("one", asyncio.Event())
    async with aclosing(provider.answer(ask())) as answer:
        await anext(answer)
        assert provider.running == 1
    assert (provider.running, provider.left) == (0, 1)
    waiting = asyncio.ensure_future(anext(FakeProvider(asyncio.Event()).answer(ask())))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_vectors_are_unit_stable_and_near_for_shared_words() -> None:
    embedder = FakeEmbedder(dimensions=256)
    result = await embedder.embed(["close the gate", "close the red gate", "turbines in spring", ""])
    vectors = result.vectors
    assert vectors.shape == (4, 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors[0] @ vectors[1] > 0.8 > vectors[0] @ vectors[2]
    assert result.tokens == 10
    again = await FakeEmbedder(dimensions=256).embed(["close the gate"])
    assert np.array_equal(again.vectors[0], vectors[0])


async def test_the_server_does_as_it_is_told() -> None:
    async with ProviderServer() as server, aiohttp.ClientSession() as session:
        url = f"{server.base_url}/chat/completions"
        body = {"messages": [{"role": "user", "content": "one two"}], "stream": True}
        async with session.post(url, json=body) as response:
            events = (await response.read()).split(b"\n\n")
        assert (len(events), events[-2]) == (5, b"data: [DONE]")
        server.answers += [Reply(status=429, body=b"{}"), Cut(), Stream(events=[b"1", Cut()])]
        async with session.post(url, json={}) as response:
            assert response.status == 429
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(url, json={})
        async with session.post(url, json={"a": 1}) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert server.received[-1].json == {"a": 1}
        assert server.received[-1].headers["content-type"] == "application/json"
