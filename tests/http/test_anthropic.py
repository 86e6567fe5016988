"""The Anthropic dialect over HTTP: its forms, its errors, and what is passed on as it came."""

import json
from pathlib import Path
from typing import Any

import anthropic
import pytest
from support.gateway_site import Site, model, site
from support.simulated import remote_target
from support.streams import data_of

from penstock.exchange import Chunk, Exchange, ThinkingBlock, Usage
from penstock.testing import Bytes, Cut, FakeProvider, ProviderServer, Reply, Stream

MESSAGES = "/v1/messages"
HI = [{"role": "user", "content": "Say three words"}]
ASK = {"model": "tiny", "max_tokens": 20, "messages": HI}
TOOL = {"name": "look_up", "input_schema": {"type": "object"}}


def client_of(it: Site) -> anthropic.AsyncAnthropic:
    client = anthropic.AsyncAnthropic(base_url=it.url, api_key="local", max_retries=0)
    it.clients.push_async_callback(client.close)
    return client


def anthropic_events(data: list[bytes]) -> Stream:
    kinds = [json.loads(each)["type"].encode() for each in data]
    frames = [
        Bytes(b"event: " + kind + b"\ndata: " + each + b"\n\n") for kind, each in zip(kinds, data, strict=True)
    ]
    return Stream(events=frames, done=False)


async def test_a_local_model_answers(tmp_path: Path) -> None:
    provider = FakeProvider("Hello", " world")
    async with site(tmp_path, model(provider)) as it:
        status, whole, headers = await it.post(MESSAGES, ASK | {"system": [{"type": "text", "text": "Be brief."}]})
        async with it.session.post(it.url + MESSAGES, json=ASK | {"stream": True}) as response:
            stream = (await response.read()).decode()
        trace = (await it.last_trace()).trace
    assert status == 200
    assert headers["x-penstock-trace-id"] == whole["id"].removeprefix("msg_")
    assert whole == {
        "id": whole["id"],
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": [{"type": "text", "text": "Hello world", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        },
    }
    assert [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [message.role for message in provider.exchanges[0].messages] == ["system", "user"]
    assert (trace.answer, trace.output_tokens) == ("Hello world", 2)


async def test_bytes_travel_as_they_came(tmp_path: Path) -> None:
    body = (
        b'{"id":"msg_9", "type":"message","new":{"a":1.10},\n "content":[{"type":"text","text":"Hi"}], "usage":{}}'
    )
    events = data_of("anthropic-thinking-tools")
    sent = (
        b'{"model":"anthropic",  "max_tokens":9, "messages":[{"role":"user","content":"x"}],"new_field":{"a":1.0}}'
    )
    async with ProviderServer() as upstream, site(tmp_path, remote_target("anthropic", upstream)) as it:
        upstream.answers += [Reply(body=body), anthropic_events(events)]
        headers = {"anthropic-beta": "new-thing-2026-01-01", "content-type": "application/json"}
        async with it.session.post(it.url + MESSAGES, data=sent, headers=headers) as response:
            assert await response.read() == body
        async with it.session.post(
            it.url + MESSAGES, json=ASK | {"model": "anthropic", "stream": True}
        ) as response:
            stream = await response.read()
        trace = await it.last_trace()
    got = upstream.received[0]
    assert got.headers["anthropic-beta"] == "new-thing-2026-01-01"
    assert got.headers["anthropic-version"] == "2023-06-01"
    assert b'"new_field":{"a":1.0}' in got.body
    assert got.json["model"] == "claude-haiku-4-5"
    frames = [frame.split(b"\n") for frame in stream.split(b"\n\n") if frame]
    assert [line for _, line in frames] == [b"data: " + each for each in events]
    assert all(kind == b"event: " + json.loads(line[6:])["type"].encode() for kind, line in frames)
    assert (trace.trace.input_tokens, trace.trace.cached_input_tokens, trace.trace.reasoning_tokens) == (
        472,
        2048,
        74,
    )


async def test_errors_in_the_form_of_the_dialect(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        cases: list[tuple[Any, int, str, str, str]] = [
            (ASK | {"model": "tini"}, 404, "not_found_error", "model", "did you mean 'tiny'"),
            (
                {"model": "tiny", "messages": HI},
                400,
                "invalid_request_error",
                "max_tokens",
                "'max_tokens' is missing",
            ),
            (ASK | {"messages": []}, 400, "invalid_request_error", "messages", "'messages' is empty"),
            (
                ASK | {"messages": [{"role": "user"}]},
                400,
                "invalid_request_error",
                "messages[0].content",
                "is missing",
            ),
            (ASK | {"temperature": "hot"}, 400, "invalid_request_error", "temperature", "must be a number"),
            (ASK | {"tools": [TOOL]}, 400, "invalid_request_error", "tools", "'tiny' does not support tools"),
            (
                ASK | {"output_config": {"format": {"type": "json_schema"}}},
                400,
                "invalid_request_error",
                "output_config.format.schema",
                "is missing",
            ),
        ]
        for body, status, kind, param, message in cases:
            for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
                if path != MESSAGES and param == "max_tokens":
                    continue
                got, answer, _ = await it.post(path, body)
                assert (got, answer["type"], answer["error"]["type"]) == (status, "error", kind)
                assert answer["error"]["param"] == param
                assert message in answer["error"]["message"]
        status, answer, _ = await it.post(MESSAGES, b"{")
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        status, answer, _ = await it.get(f"{MESSAGES}/nothing")
        assert (status, answer["error"]["type"]) == (404, "not_found_error")
        status, answer, _ = await it.get(MESSAGES, **{"host": "evil.example"})
        assert (status, answer["error"]["type"]) == (403, "permission_error")
        with pytest.raises(anthropic.NotFoundError, match="did you mean"):
            await client_of(it).messages.create(model="tini", max_tokens=5, messages=HI)


async def test_what_only_anthropic_has_is_refused_by_name(tmp_path: Path) -> None:
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    search = {"type": "web_search_20250305", "name": "web_search"}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"tools": [search]}, "web_search_20250305 tools", "tools[0]"),
        ({"container": "c"}, "container", "container"),
        (content_of(document | {"citations": {"enabled": True}}), "citations", "messages[0].content[0].citations"),
        (content_of({"type": "search_result", "content": []}), "'search_result' parts", "messages"),
        (
            content_of({"type": "tool_result", "tool_use_id": "a", "content": [document]}),
            "files in tool",
            "messages",
        ),
        ({"max_tokens": 0}, "the warming of a cache", "max_tokens"),
    ]
    async with ProviderServer() as upstream, site(tmp_path, remote_target("openai", upstream)) as it:
        for fields, feature, param in cases:
            status, answer, _ = await it.post(MESSAGES, ASK | {"model": "openai"} | fields)
            assert (status, answer["error"]["code"]) == (400, "unsupported_feature"), feature
            assert f"'openai' does not support {feature}" in answer["error"]["message"]
            assert answer["error"]["param"] == param
    assert upstream.received == []


def content_of(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


async def test_an_upstreams_error_in_either_dialect(tmp_path: Path) -> None:
    own = b'{"type":"error","error":{"type":"rate_limit_error","message":"Too much"},"request_id":"req_7"}'
    other = b'{"error":{"message":"Too much","type":"tokens","code":"rate_limit_exceeded"}}'
    async with ProviderServer() as upstream:
        targets = [remote_target(name, upstream) for name in ("anthropic", "openai")]
        async with site(tmp_path, *targets) as it:
            upstream.answers.append(Reply(status=429, body=own, headers={"retry-after": "9"}))
            status, answer, headers = await it.post(MESSAGES, ASK | {"model": "anthropic"})
            assert (status, answer, headers["retry-after"]) == (429, json.loads(own), "9")
            upstream.answers.append(Reply(status=429, body=other, headers={"retry-after": "9"}))
            status, answer, headers = await it.post(MESSAGES, ASK | {"model": "openai"})
            assert (status, answer["error"]["type"], headers["retry-after"]) == (429, "rate_limit_error", "9")
            assert answer["error"]["message"].endswith("answered with status 429: Too much")
            upstream.answers.append(Reply(status=529, body=own.replace(b"rate_limit", b"overloaded")))
            status, answer, _ = await it.chat(model="anthropic")
            assert (status, answer["error"]["code"]) == (503, "upstream_failed")
            upstream.answers.append(Reply(status=429, body=own))
            with pytest.raises(anthropic.RateLimitError, match="Too much"):
                await client_of(it).messages.create(model="anthropic", max_tokens=5, messages=HI)


async def test_a_stream_that_breaks_ends_with_an_error_event(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        targets = [remote_target(name, upstream) for name in ("anthropic", "openai")]
        async with site(tmp_path, *targets) as it:
            client = client_of(it)
            upstream.answers.append(anthropic_events(data_of("anthropic-overloaded")))
            with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
                await drained(client, "anthropic")
            piece = b'{"choices":[{"index":0,"delta":{"content":"Hi"}}]}'
            upstream.answers.append(Stream(events=[piece, Cut()]))
            with pytest.raises(anthropic.APIStatusError, match="closed the connection"):
                await drained(client, "openai")
            trace = (await it.last_trace()).trace
    assert (trace.status, trace.answer) == ("error", "Hi")


async def drained(client: anthropic.AsyncAnthropic, name: str) -> None:
    async with client.messages.stream(model=name, max_tokens=5, messages=HI) as events:
        async for _ in events:
            pass


class CountingProvider(FakeProvider):
    async def count_tokens(self, exchange: Exchange) -> int:
        return sum(len(message.text.split()) for message in exchange.messages)


@pytest.mark.drives("POST /v1/messages/count_tokens")
async def test_tokens_are_counted_by_who_can(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        targets = [remote_target(name, upstream) for name in ("anthropic", "openai")]
        targets += [model(CountingProvider(name="own"), "own"), model()]
        async with site(tmp_path, *targets) as it:
            client = client_of(it)
            for name in ("anthropic", "own"):
                counted = await client.messages.count_tokens(model=name, messages=HI, system="Be brief.")
                assert counted.input_tokens == {"anthropic": 3, "own": 5}[name]
            sent = upstream.received[-1]
            assert sent.path == "/v1/messages/count_tokens"
            assert sent.json == {"model": "claude-haiku-4-5", "messages": HI, "system": "Be brief."}
            with pytest.raises(anthropic.BadRequestError, match="'tiny' cannot count tokens without answering"):
                await client.messages.count_tokens(model="tiny", messages=HI)
            with pytest.raises(anthropic.BadRequestError, match="number of tokens"):
                await client.messages.count_tokens(model="openai", messages=HI)


@pytest.mark.drives("GET /v1/models", "GET /v1/models/{name}")
async def test_models_in_either_form(tmp_path: Path) -> None:
    async with site(tmp_path, *(model(name=f"model-{at}") for at in range(5))) as it:
        client = client_of(it)
        page = await client.models.list(limit=2)
        assert [each.id for each in page.data] == ["model-0", "model-1"]
        assert [each.id async for each in await client.models.list(limit=2)] == [f"model-{at}" for at in range(5)]
        before = await client.models.list(limit=2, before_id="model-4")
        assert ([each.id for each in before.data], before.has_more) == (["model-2", "model-3"], True)
        one = await client.models.retrieve("model-3")
        assert (one.id, one.display_name, one.created_at.year >= 1970) == ("model-3", "model-3", True)
        with pytest.raises(anthropic.NotFoundError, match="not configured"):
            await client.models.retrieve("model-9x")
        with pytest.raises(anthropic.BadRequestError, match="'after_id' names 'x'"):
            await client.models.list(after_id="x")
        with pytest.raises(anthropic.BadRequestError, match="'limit'"):
            await client.models.list(limit=0)
        listed = [each.id async for each in await it.client().models.list()]
        assert listed == [f"model-{at}" for at in range(5)]


async def test_what_is_unsupported_is_left_out_where_the_target_says_so(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    local = FakeProvider("Hello")
    async with ProviderServer() as upstream:
        targets = [remote_target("anthropic", upstream, drop_unsupported=True)]
        targets.append(model(local, "local", drop_unsupported=True))
        async with site(tmp_path, *targets) as it:
            content = [{"type": "text", "text": "Look"}, picture]
            history = [{"role": "user", "content": content}, {"role": "tool", "tool_call_id": "1", "content": "2"}]
            fields: dict[str, Any] = {
                "seed": 3,
                "n": 2,
                "temperature": 0.5,
                "logit_bias": {"5": 1},
                "service_tier": "auto",
            }
            body = {"model": "anthropic", "messages": HI, **fields}
            status, answer, headers = await it.post("/v1/chat/completions", body)
            assert (status, headers["x-penstock-dropped"]) == (200, "logit_bias, n, seed")
            assert answer["choices"][0]["message"]["content"] == "Say three words"
            sent = upstream.received[-1].json
            assert sent == {"model": "claude-haiku-4-5", "max_tokens": sent["max_tokens"], "messages": HI} | {
                "temperature": 0.5
            }
            status, _, headers = await it.post(
                "/v1/chat/completions",
                {"model": "local", "messages": history, "seed": 3, "tool_choice": "required"},
            )
            assert (status, headers["x-penstock-dropped"]) == (200, "images, tools")
            (message,) = local.exchanges[-1].messages
            assert (message.text, local.exchanges[-1].parameters.seed) == ("Look", 3)
            status, answer, _ = await it.post("/v1/completions", {"model": "local", "prompt": [1, 2]})
            assert (status, answer["error"]["message"][:38]) == (400, "'local' does not support token ids, wh")
            status, answer, _ = await it.post(MESSAGES, ASK | {"model": "local", "tools": [TOOL], "container": "c"})
            assert (status, answer["type"]) == (200, "message")


@pytest.mark.parametrize("stream", [False, True])
async def test_signed_thoughts_come_back_to_who_signed_them(tmp_path: Path, stream: bool) -> None:
    """An OpenAI client gets a model's thoughts with their signature, and sends them back with the conversation."""
    messages: list[Any] = [{"role": "user", "content": "think: Hm\nFine"}]
    async with ProviderServer() as upstream, site(tmp_path, remote_target("anthropic", upstream)) as it:
        chats = it.client().chat.completions
        if stream:
            deltas = [
                piece.choices[0].delta
                async for piece in await chats.create(model="anthropic", messages=messages, stream=True)
            ]
            blocks = [block for delta in deltas for block in getattr(delta, "thinking_blocks", None) or ()]
            reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        else:
            message: Any = (await chats.create(model="anthropic", messages=messages)).choices[0].message
            blocks, reasoning = message.thinking_blocks, message.reasoning_content
        assert reasoning == "Hm"
        assert blocks == [{"type": "thinking", "thinking": "Hm", "signature": "c2lnbmF0dXJl"}]
        answer = {"role": "assistant", "content": "Fine", "reasoning_content": "Hm", "thinking_blocks": blocks}
        await chats.create(model="anthropic", messages=[*messages, answer, {"role": "user", "content": "So?"}])
    assert upstream.received[-1].json["messages"][1]["content"] == [*blocks, {"type": "text", "text": "Fine"}]


async def test_thoughts_nobody_signed_are_not_sent_to_anthropic(tmp_path: Path) -> None:
    thinking = FakeProvider(script=lambda exchange: [Chunk(reasoning="Hm"), "Fine"])
    signed = FakeProvider(
        script=lambda exchange: [
            Chunk(reasoning="Hm", thinking_blocks=(ThinkingBlock("thinking", signature="s"),)),
            Chunk(text="Fine", finish_reason="stop", usage=Usage(1, 2, reasoning=3)),
        ]
    )
    async with ProviderServer() as upstream:
        targets = [remote_target("anthropic", upstream), model(thinking, "plain"), model(signed, "signed")]
        async with site(tmp_path, *targets) as it:
            client = client_of(it)
            plain = await client.messages.create(model="plain", max_tokens=5, messages=HI)
            proven = await client.messages.create(model="signed", max_tokens=5, messages=HI)
            assert [block.type for block in plain.content] == ["thinking", "text"]
            assert proven.usage.output_tokens == 5
            chats = it.client().chat.completions
            for message, kept in ((plain, []), (proven, [proven.content[0].to_dict()])):
                turn = {
                    "role": "assistant",
                    "content": "Fine",
                    "thinking_blocks": [block.to_dict() for block in message.content if block.type == "thinking"],
                }
                await chats.create(model="anthropic", messages=[*HI, turn, *HI])  # type: ignore[list-item]
                sent = upstream.received[-1].json["messages"][1]["content"]
                assert sent == ([*kept, {"type": "text", "text": "Fine"}] if kept else "Fine")
