"""Remote models through the whole server: what their upstream says reaches the client as it was said."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from support.gateway_site import remote_model, site

from penstock.exchange import LOCAL_PROJECT, Usage
from penstock.gateway.prices import price_of
from penstock.gateway.registry import Target
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.policy import Policy, Process
from penstock.gateway.routing.route import Route
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import remote
from penstock.testing import Cut, ProviderServer, Reply, Stream
from penstock.traces.span import TraceFilter

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Say three words"}]
PIECE = b'{"choices":[{"index":0,"delta":{"content":"Hi"}}], "odd":1.10}'


async def test_the_official_client_through_to_an_upstream(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream)) as it:
        client = it.client()
        whole = await client.chat.completions.create(model="big", messages=HI, extra_body={"top_k": 4})
        assert upstream.received[-1].json["top_k"] == 4
        stream = await client.chat.completions.create(model="big", messages=HI, stream=True)
        pieces = [piece async for piece in stream]
        embedded = await client.embeddings.create(model="big", input=[[1, 2], [3]])
        trace = await it.last_trace()
    assert whole.choices[0].message.content == "Say three words"
    assert whole.model == "upstream-model"
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Say three words"
    assert all(piece.usage is None for piece in pieces)
    assert len(embedded.data) == 2
    assert trace.trace.input_tokens == 2


async def test_bytes_reach_the_client_as_they_came(tmp_path: Path) -> None:
    body = b'{"id":"a",  "choices":[{"index":0,"message":{"content":"Hi","x":1e400}}],\n "new": {"a":1.10}}'
    end = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream)) as it:
        upstream.answers += [Reply(body=body), Stream(events=[PIECE, end])]
        async with it.session.post(it.url + CHAT, json={"model": "big", "messages": HI}) as response:
            assert await response.read() == body
            assert response.headers["content-length"] == str(len(body))
        events = await it.events(CHAT, {"model": "big", "messages": HI, "stream": True})
    assert events == [PIECE, end, b"[DONE]"]


async def test_an_upstreams_error_reaches_the_client(tmp_path: Path) -> None:
    error = {"error": {"message": "Too much", "type": "tokens", "code": "rate_limit_exceeded", "param": None}}
    replies = {
        400: json.dumps({"error": {"message": "No such field", "odd": [1]}}).encode(),
        429: json.dumps(error).encode(),
        500: b'{"error":{"message":"broken"}}',
    }
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream)) as it:
        for status, body in replies.items():
            for stream in (False, True):
                upstream.answers.append(Reply(status=status, body=body, headers={"retry-after": "9"}))
                got, answer, headers = await it.chat(model="big", stream=stream)
                assert (got, answer, headers["retry-after"]) == (status, json.loads(body), "9")
        upstream.answers.append(Reply(status=429, body=b"slow down"))
        status, answer, _ = await it.chat(model="big")
        assert (status, answer["error"]["code"]) == (429, "upstream_failed")
        assert answer["error"]["message"] == "corp/upstream-model answered with status 429: slow down"
        upstream.answers.append(Reply(status=401, body=b"{}"))
        status, answer, _ = await it.chat(model="big")
        assert (status, answer["error"]["type"]) == (502, "server_error")
        upstream.answers.append(Reply(status=429, body=replies[429]))
        with pytest.raises(openai.RateLimitError, match="Too much"):
            await it.client().chat.completions.create(model="big", messages=HI)


async def test_a_stream_that_breaks_ends_with_an_error_event(tmp_path: Path) -> None:
    own = b'{"error":{"message":"overloaded","code":"busy"}}'
    body = {"model": "big", "messages": HI, "stream": True}
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream)) as it:
        upstream.answers += [Stream(events=[PIECE, Cut()]), Stream(events=[PIECE, own])]
        cut = await it.events(CHAT, body)
        failed = await it.events(CHAT, body)
        upstream.answers.append(Stream(events=[PIECE, Cut()]))
        with pytest.raises(openai.APIError, match="closed the connection"):
            async for _ in await it.client().chat.completions.create(**body):
                pass
        trace = (await it.last_trace()).trace
    assert cut[0] == failed[0] == PIECE
    assert json.loads(cut[-1])["error"]["code"] == "upstream_failed"
    assert failed[-1] == own
    assert b"[DONE]" not in cut + failed
    assert (trace.status, trace.error_code, trace.answer) == ("error", "upstream_failed", "Hi")


async def test_cost_is_recorded_where_it_is_known(tmp_path: Path) -> None:
    """gpt-4.1-mini: $0.40, $0.10 cached and $1.60 per million tokens, in the prices that came with the package."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    answer: dict[str, Any] = {"choices": [{"index": 0, "message": {"content": "Hi"}}], "usage": usage}
    async with ProviderServer() as upstream:
        provider = RemoteProvider(remote("corp/gpt-4.1-mini", upstream.base_url))
        backend = Backend("corp/gpt-4.1-mini", provider, frozenset({"chat"}))
        backend.price = price_of("openai", "gpt-4.1-mini")
        known = Target(
            name="known",
            kind="model",
            provider=Route("known", (backend,), Policy(), Process()),
            operations=frozenset({"chat"}),
            features=None,
            forwards=frozenset({"openai"}),
        )
        async with site(tmp_path, known, remote_model(upstream)) as it:
            for name in ("big", "known"):
                upstream.answers.append(Reply(body=json.dumps(answer).encode()))
                await it.chat(model=name)
            await it.services.traces.flush()
            page = await it.services.traces.list(TraceFilter(project_id=LOCAL_PROJECT))
            detail = await it.services.traces.get(page.traces[0].id, LOCAL_PROJECT)
            _, text, _ = await it.get("/metrics")
    assert [trace.cost_nanos for trace in page.traces] == [600 * 400 + 400 * 100 + 100 * 1600, None]
    assert detail is not None
    assert detail.spans[1].values()["penstock.cost_nanos"] == 440_000
    assert b'penstock_tokens_total{class="cached_input",model="known"} 400.0' in text
    assert b'penstock_tokens_total{class="output",model="big"} 100.0' in text


def test_prices() -> None:
    price = price_of("openai", "gpt-4.1-mini")
    assert price is not None
    assert price.cost_nanos(Usage(1_000_000, 1_000_000), 1_760_000_000.0) == 2_000_000_000
    assert price.cost_nanos(Usage(10, 10, reasoning=10), 1_760_000_000.0) == 10 * 400 + 20 * 1600
    assert price_of("openai", "no-such-model-at-all") is None
    assert price_of("", "gpt-4.1-mini") is None
    tiered = price_of("google", "gemini-2.5-pro")  # dearer beyond 200,000 tokens
    assert tiered is not None
    small, large = (tiered.cost_nanos(Usage(tokens, 0), 1_760_000_000.0) for tokens in (100_000, 400_000))
    assert small is not None and large is not None
    assert large > 4 * small
