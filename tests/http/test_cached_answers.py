"""The cache through the whole server: what a client reads the second time, and what it may say about it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.gateway_site import Site, remote_model, site

from penstock.gateway.cache.answers import AnswerCache, CacheRules
from penstock.gateway.cache.key import Keys
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.cache.sqlite import SqliteStore
from penstock.testing import ProviderServer, Reply, Stream

CHAT = "/v1/chat/completions"
HI: dict[str, Any] = {"model": "big", "messages": [{"role": "user", "content": "Hi there"}], "temperature": 0}
WHOLE = (
    b'{"id":"a",  "choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],\n'
    b' "odd": 1.10, "usage":{"prompt_tokens":3,"completion_tokens":2}}'
)
PIECES = [
    b'{"choices":[{"index":0,"delta":{"content":"Hi "}}], "odd":1.10}',
    b'{"choices":[{"index":0,"delta":{"content":"you"}}]}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
]
USAGE = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'


@asynccontextmanager
async def cached(folder: Path, store: str = "memory") -> AsyncIterator[tuple[Site, ProviderServer]]:
    kept = MemoryStore(1 << 20) if store == "memory" else SqliteStore(folder / "cache.db", 1 << 20)
    cache = AnswerCache(kept, Keys(), CacheRules())
    async with ProviderServer() as upstream, site(folder, remote_model(upstream), cache=cache) as it:
        yield it, upstream
    await cache.close()


async def ask(it: Site, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, bytes, Any]:
    async with it.session.post(it.url + CHAT, json=HI | fields, headers=headers) as response:
        return response.status, await response.read(), response.headers


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_whole_answers_are_given_again_byte_by_byte(tmp_path: Path, store: str) -> None:
    async with cached(tmp_path, store) as (it, upstream):
        upstream.answers += [Reply(body=WHOLE)]
        first, second = await ask(it), await ask(it)
    assert first[1] == second[1] == WHOLE
    assert (first[2]["x-penstock-cache"], second[2]["x-penstock-cache"]) == ("miss", "hit")
    assert second[2]["age"] == "0"
    assert len(upstream.received) == 1


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_streams_are_given_again_event_by_event(tmp_path: Path, options: dict[str, Any]) -> None:
    async with cached(tmp_path) as (it, upstream):
        upstream.answers += [Stream(events=[*PIECES, USAGE])]
        first = await it.events(CHAT, HI | {"stream": True} | options)
        second = await it.events(CHAT, HI | {"stream": True} | options)
    assert first == second == [*PIECES, *([USAGE] if options else []), b"[DONE]"]
    assert len(upstream.received) == 1


async def test_a_streamed_answer_serves_who_wants_it_whole_and_the_other_way_round(tmp_path: Path) -> None:
    async with cached(tmp_path) as (it, upstream):
        upstream.answers += [Stream(events=[*PIECES, USAGE]), Reply(body=WHOLE)]
        await it.events(CHAT, HI | {"stream": True})
        status, body, headers = await ask(it)
        whole = json.loads(body)
        await ask(it, seed=1)
        events = await it.events(CHAT, HI | {"stream": True, "seed": 1, "stream_options": {"include_usage": True}})
    assert (status, headers["x-penstock-cache"]) == (200, "hit")
    assert whole["choices"][0]["message"]["content"] == "Hi you"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (3, 2)
    pieces = [json.loads(event) for event in events[:-1]]
    assert (
        "".join(piece["choices"][0]["delta"].get("content") or "" for piece in pieces if piece["choices"]) == "Hi"
    )
    assert pieces[-1]["usage"]["prompt_tokens"] == 3
    assert events[-1] == b"[DONE]"
    assert len(upstream.received) == 2


async def test_what_a_caller_may_say(tmp_path: Path) -> None:
    async with cached(tmp_path) as (it, upstream):
        upstream.answers += [Reply(body=WHOLE) for _ in range(9)]

        async def said(header: str, value: str, **fields: Any) -> tuple[int, str | None]:
            status, _, headers = await ask(it, {header: value}, **fields)
            return status, headers.get("x-penstock-cache")

        assert await said("cache-control", "only-if-cached") == (504, None)
        assert await said("cache-control", "no-store") == (200, None)
        assert await said("cache-control", "no-cache") == (200, "miss")
        assert await said("cache-control", "only-if-cached") == (200, "hit")
        assert await said("x-penstock-cache", "off") == (200, None)
        assert await said("cache-control", "max-age=60", temperature=1) == (200, "miss")
        assert await said("x-penstock-cache", "on", temperature=1) == (200, "hit")
        assert (await ask(it, temperature=1))[2].get("x-penstock-cache") is None
        status, body, _ = await ask(it, {"x-penstock-cache": "perhaps"})
    assert status == 400
    assert "x-penstock-cache is 'perhaps'" in json.loads(body)["error"]["message"]
    assert len(upstream.received) == 5


async def test_not_in_the_cache_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with cached(tmp_path) as (it, _):
        status, body, _ = await ask(it, {"cache-control": "only-if-cached"})
    assert status == 504
    error = json.loads(body)["error"]
    assert error["code"] == "not_cached"
    assert error["message"].startswith("This answer is not in the cache.")


async def test_a_hundred_at_once_make_one_upstream_call(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with cached(tmp_path) as (it, upstream):
        upstream.answers += [Reply(body=WHOLE, after=gate)]
        asking = [asyncio.ensure_future(ask(it)) for _ in range(100)]
        await upstream.until(lambda it: len(it.received) == 1)
        gate.set()
        answers = await asyncio.gather(*asking)
    assert {(status, body) for status, body, _ in answers} == {(200, WHOLE)}
    marks = [headers["x-penstock-cache"] for _, _, headers in answers]
    assert (marks.count("miss"), marks.count("shared") + marks.count("hit")) == (1, 99)
    assert len(upstream.received) == 1


async def test_embeddings_are_cached(tmp_path: Path) -> None:
    async with cached(tmp_path) as (it, upstream):
        answers = [await it.post("/v1/embeddings", {"model": "big", "input": ["a", "b"]}) for _ in range(2)]
    assert answers[0][1] == answers[1][1]
    assert [headers["x-penstock-cache"] for _, _, headers in answers] == ["miss", "hit"]
    assert len(upstream.received) == 1


async def test_a_hit_costs_nothing_in_its_trace(tmp_path: Path) -> None:
    async with cached(tmp_path) as (it, upstream):
        upstream.answers += [Reply(body=WHOLE)]
        await ask(it)
        await ask(it)
        hit = await it.last_trace()
    assert hit.spans[0].values()["penstock.cache"] == "hit"
    assert (hit.trace.input_tokens, hit.trace.cost_nanos, hit.trace.answer) == (3, 0, "Hi")


async def test_the_api_shows_and_clears(tmp_path: Path) -> None:
    async with cached(tmp_path) as (it, upstream):
        upstream.answers += [Reply(body=WHOLE) for _ in range(2)]
        await ask(it)
        await ask(it)
        status, state, _ = await it.get("/api/v1/cache")
        assert (status, state["requests"]) == (200, {"hit": 1, "semantic": 0, "shared": 0, "miss": 1})
        assert state["held"]["entries"] == 1
        assert 0 < state["held"]["bytes"] <= state["held"]["max_bytes"]
        _, text, _ = await it.get("/metrics")
        assert b'penstock_cache_requests_total{result="hit"} 1.0' in text
        assert b"penstock_cache_entries 1.0" in text
        async with it.session.delete(it.url + "/api/v1/cache") as response:
            assert await response.json() == {"project": "local"}
        assert (await ask(it))[2]["x-penstock-cache"] == "miss"


async def test_without_a_cache_the_api_says_how_to_have_one(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        status, body, _ = await it.get("/api/v1/cache")
        _, _, headers = await it.chat(temperature=0)
    assert status == 404
    assert "enabled = true under [cache]" in body["error"]["message"]
    assert "x-penstock-cache" not in headers
