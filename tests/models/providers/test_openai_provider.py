"""Remote models: bytes that stay as they are, and every way an upstream can fail."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway_site import remote_settings

from penstock.config import Secret
from penstock.errors import ConfigError, DeadlineExceeded, PenstockError, UnsupportedFeature, UpstreamFailed
from penstock.exchange import Chunk, Constraint, Exchange, Message, Parameters, Usage
from penstock.ids import new_trace_id
from penstock.models.dialects.openai.requests import ChatBody, read_chat
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import Timeouts, Vendor, remote
from penstock.testing import Cut, ProviderServer, Reply, Stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

HI = [{"role": "user", "content": "Say three words"}]
KEY = "sk-very-secret-0123456789abcdef"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


def empty(**fields: Any) -> Exchange:
    return Exchange(id="req_1", trace_id=new_trace_id(), **fields)


def came(body: dict[str, Any] | bytes, **fields: Any) -> Exchange:
    """An exchange that came in the OpenAI dialect."""
    data = body if isinstance(body, bytes) else json.dumps({"model": "big", "messages": HI} | body).encode()
    return read_chat(data, empty(**fields))


def made(**fields: Any) -> Exchange:
    """An exchange that an app made itself."""
    return empty(model="big", messages=(Message("user", "Say three words"),), **fields)


async def chunks(upstream: ProviderServer, exchange: Exchange, **fields: Any) -> list[Chunk]:
    provider = RemoteProvider(remote_settings(upstream, **fields))
    try:
        async with aclosing(provider.answer(exchange)) as answer:
            return [chunk async for chunk in answer]
    finally:
        await provider.close()


async def failure(upstream: ProviderServer, exchange: Exchange, answer: Any, **fields: Any) -> PenstockError:
    upstream.answers.append(answer)
    with pytest.raises(PenstockError) as caught:
        await chunks(upstream, exchange, **fields)
    return caught.value


keys = st.text(min_size=1).filter(lambda key: key not in ("model", "messages", "stream", "stream_options"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KNOWN = set(ChatBody.__struct_fields__)


@settings(max_examples=60, deadline=None)
@given(extra=st.dictionaries(keys.filter(lambda key: key not in KNOWN), values, max_size=4), stream=st.booleans())
async def test_unknown_fields_survive_both_ways(
    upstream: ProviderServer, extra: dict[str, Any], stream: bool
) -> None:
    came_back = {"id": "x", "choices": [{"index": 0, "delta": {"content": "a", **extra}, "extra": extra}], **extra}
    came_back.pop("error", None)
    data = json.dumps(came_back).encode()
    end = b'{"choices":[{"index":0,"finish_reason":"stop"}]}'
    upstream.answers.append(Stream(events=[data, end]) if stream else Reply(body=data))
    found = await chunks(upstream, came({"stream": stream, **extra}))
    sent = upstream.received[-1].json
    assert {name: sent[name] for name in extra} == extra
    assert (sent["model"], sent["messages"]) == ("upstream-model", HI)
    assert found[0].raw == data


async def test_only_the_model_is_changed(upstream: ProviderServer) -> None:
    """What Python's numbers and dictionaries would change stays as it was written."""
    body = (
        b'{"seed": 12345678901234567890123, "model":"big",  "x": 1.10, "y": 1e400, "z": "\\u00e9\\ud83d\\ude00",'
        b'"messages":[{"role":"user","content":"Hi","tool_calls":[ {"a" : 1} ]}]}'
    )
    upstream.answers.append(Reply(body=b"{}"))
    await chunks(upstream, came(body))
    assert upstream.received[-1].body == (
        b'{"seed":12345678901234567890123,"model":"upstream-model","x":1.10,"y":1e400,"z":"\\u00e9\\ud83d\\ude00",'
        b'"messages":[{"role":"user","content":"Hi","tool_calls":[ {"a" : 1} ]}]}'
    )


async def test_usage_is_asked_for_and_its_event_taken_out_again(upstream: ProviderServer) -> None:
    quiet = await chunks(upstream, came({"stream": True, "stream_options": {"other": 1}}))
    assert upstream.received[-1].json["stream_options"] == {"other": 1, "include_usage": True}
    assert [chunk.raw is None for chunk in quiet] == [False, False, False, False, True]
    assert quiet[-1].usage == Usage(3, 3)
    assert "".join(chunk.text for chunk in quiet) == "Say three words"
    asked = await chunks(upstream, came({"stream": True, "stream_options": {"include_usage": True}}))
    assert json.loads(asked[-1].raw or b"")["choices"] == []
    assert asked[-1].usage == Usage(3, 3)


async def test_a_vendor_that_does_not_take_stream_options_is_not_sent_any(upstream: ProviderServer) -> None:
    vendor = Vendor(title="Plain", base_url="", include_usage=False)
    await chunks(upstream, came({"stream": True}), vendor=vendor)
    assert "stream_options" not in upstream.received[-1].json


async def test_usage_in_disjoint_classes(upstream: ProviderServer) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    message = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "length"}
    upstream.answers.append(Reply(body=json.dumps({"choices": [message], "usage": usage}).encode()))
    (chunk,) = await chunks(upstream, came({}))
    assert chunk.usage == Usage(20, 20, 80, 30)
    assert (chunk.text, chunk.finish_reason) == ("Hi", "length")


async def test_an_exchange_made_here_is_written(upstream: ProviderServer) -> None:
    schema = Constraint("json_schema", '{"type":"string"}')
    parameters = Parameters(max_tokens=9, temperature=0.5, top_p=0.9, seed=3, stop=("END",), constraint=schema)
    vendor = Vendor(title="New", base_url="", limit="max_completion_tokens")
    (chunk,) = await chunks(upstream, made(parameters=parameters), vendor=vendor)
    assert upstream.received[-1].json == {
        "model": "upstream-model",
        "messages": HI,
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["END"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "string"}, "strict": True},
        },
    }
    assert (chunk.text, chunk.raw) == ("Say three words", None)
    streamed = await chunks(upstream, made(stream=True))
    assert upstream.received[-1].json["stream_options"] == {"include_usage": True}
    assert "".join(chunk.text for chunk in streamed) == "Say three words"
    assert all(chunk.raw is None for chunk in streamed)
    assert streamed[-1].usage == Usage(3, 3)


async def test_completions_and_embeddings_made_here(upstream: ProviderServer) -> None:
    (chunk,) = await chunks(upstream, empty(operation="complete", prompt="once upon"))
    assert upstream.received[-1].path == "/v1/completions"
    assert chunk.text == "once upon"
    (chunk,) = await chunks(upstream, empty(operation="embed", inputs=("a", "b")))
    assert upstream.received[-1].json == {
        "model": "upstream-model",
        "input": ["a", "b"],
        "encoding_format": "base64",
    }
    assert len(chunk.embeddings) == 2
    assert chunk.usage == Usage(2)


async def test_a_regular_expression_cannot_be_asked_of_a_remote_model(upstream: ProviderServer) -> None:
    exchange = made(parameters=Parameters(constraint=Constraint("regex", "[ab]")))
    with pytest.raises(UnsupportedFeature, match="regular expression"):
        await chunks(upstream, exchange)


async def test_the_key_is_sent_and_nowhere_shown(
    upstream: ProviderServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = Secret(KEY)
    provider = RemoteProvider(remote_settings(upstream, api_key=key))
    await chunks(upstream, came({}), api_key=key)
    assert upstream.received[-1].headers["authorization"] == f"Bearer {KEY}"
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    errors = [
        await failure(upstream, came({}), Reply(status=status, body=body), api_key=key)
        for status in (401, 400, 500)
    ]
    errors.append(await failure(upstream, came({"stream": True}), Stream(events=[body]), api_key=key))
    errors.append(await failure(upstream, came({}), Reply(status=502, body=KEY.encode()), api_key=key))
    for error in errors:
        assert isinstance(error, UpstreamFailed)
        assert KEY not in f"{error!r} {error} {error.hint} {error.body!r} {provider.settings!r}"
    assert KEY not in caplog.text


async def test_a_missing_key_says_which(upstream: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        RemoteProvider(remote("openai/gpt-4.1-mini"))
    error = await failure(upstream, came({}), Reply(status=401, body=b"{}"), api_key=Secret("wrong"))
    assert str(error) == "corp/upstream-model refused the key (HTTP 401). Check api_key."
    error = await failure(upstream, came({}), Reply(status=403, body=b"{}"))
    assert str(error).startswith("corp/upstream-model refused a request without a key (HTTP 403).")


async def test_an_error_of_the_upstream_keeps_its_body(upstream: ProviderServer) -> None:
    body = b'{"error": {"message": "max_tokens is too large", "code": "weird", "extra": 1}}'
    error = await failure(upstream, came({}), Reply(status=400, body=body))
    assert isinstance(error, UpstreamFailed)
    assert (error.upstream_status, error.body) == (400, body)
    assert "max_tokens is too large" in error.message
    error = await failure(upstream, made(), Reply(status=400, body=body))
    assert isinstance(error, UpstreamFailed)
    assert error.body is None  # nobody here spoke this dialect
    assert "max_tokens is too large" in error.message
    error = await failure(upstream, came({}), Reply(status=500, body=b"<html>\n oops</html>"))
    assert isinstance(error, UpstreamFailed)
    assert error.body is None
    assert error.message == "corp/upstream-model answered with status 500: <html> oops</html>"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("Someday, 99", None)],
)
async def test_slow_down_keeps_its_retry_after(
    upstream: ProviderServer, header: str, seconds: float | None
) -> None:
    error = await failure(upstream, came({}), Reply(status=429, body=b"{}", headers={"retry-after": header}))
    assert isinstance(error, UpstreamFailed)
    assert (error.upstream_status, error.retry_after) == (429, seconds)


PIECE = b'{"choices":[{"index":0,"delta":{"content":"Hi"}}]}'
LAST = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


async def test_a_stream_that_is_cut_is_an_error(upstream: ProviderServer) -> None:
    stream = came({"stream": True})
    error = await failure(upstream, stream, Stream(events=[PIECE, Cut()]))
    assert str(error) == ("corp/upstream-model closed the connection before the answer was complete. Try again.")
    error = await failure(upstream, stream, Stream(events=[PIECE], done=False))
    assert error.message == "corp/upstream-model ended its stream before the answer was complete."
    error = await failure(upstream, stream, Cut())
    assert isinstance(error, UpstreamFailed)
    error = await failure(upstream, came({}), Cut())
    assert isinstance(error, UpstreamFailed)


async def test_a_complete_stream_without_the_end_mark_is_complete(upstream: ProviderServer) -> None:
    upstream.answers.append(Stream(events=[PIECE, LAST], done=False))
    assert [chunk.raw for chunk in await chunks(upstream, came({"stream": True}))] == [PIECE, LAST]


async def test_an_error_inside_a_stream(upstream: ProviderServer) -> None:
    body = b'{"error":{"message":"overloaded","code":"busy"}}'
    error = await failure(upstream, came({"stream": True}), Stream(events=[PIECE, body]))
    assert isinstance(error, UpstreamFailed)
    assert error.body == body
    assert error.message == "corp/upstream-model failed in its stream: overloaded"


async def test_what_is_not_understood_is_passed_on(upstream: ProviderServer) -> None:
    odd = [b"not json", b'{"choices":7}', b'{"choices":[{"delta":{"content":[1]}}]}', b"[]", PIECE, LAST]
    upstream.answers.append(Stream(events=odd))
    assert [chunk.raw for chunk in await chunks(upstream, came({"stream": True}))] == odd


async def test_deadlines(upstream: ProviderServer) -> None:
    silence = Stream(events=[asyncio.Event()])
    stall = Stream(events=[PIECE, asyncio.Event()])
    stream = came({"stream": True})
    error = await failure(upstream, stream, silence, timeouts=Timeouts(first_token=0.05))
    assert isinstance(error, DeadlineExceeded)
    assert error.message == "corp/upstream-model sent nothing for 0.05 s."
    error = await failure(upstream, stream, stall, timeouts=Timeouts(between_tokens=0.06))
    assert error.message == "corp/upstream-model sent nothing for 0.06 s."
    for exchange in (stream, came({})):
        late = exchange.replace(deadline=time.monotonic() + 0.05)
        error = await failure(upstream, late, Reply(body=b"{}", after=asyncio.Event()))
        assert isinstance(error, DeadlineExceeded)
        assert error.message == "corp/upstream-model did not finish within the time for this request."


async def test_an_upstream_that_is_not_there() -> None:
    provider = RemoteProvider(remote("ollama/llama3.2", "http://127.0.0.1:1/v1"))
    with pytest.raises(UpstreamFailed) as caught:
        async for _ in provider.answer(came({})):
            pass
    await provider.close()
    assert str(caught.value).startswith("ollama/llama3.2: cannot connect to http://127.0.0.1:1/v1 (")
    assert caught.value.hint == "Is Ollama running there? base_url says where it is."


async def test_a_redirect_is_not_followed_with_the_key(upstream: ProviderServer) -> None:
    asked = len(upstream.received)
    elsewhere = Reply(status=307, body=b"", headers={"location": upstream.base_url + "/elsewhere"})
    error = await failure(upstream, came({}), elsewhere, api_key=Secret(KEY))
    assert len(upstream.received) == asked + 1
    assert "status 307" in error.message


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"", b"[1]"])
async def test_an_answer_that_is_none(upstream: ProviderServer, body: bytes) -> None:
    for exchange in (came({}), made(), empty(operation="embed", inputs=("a",))):
        error = await failure(upstream, exchange, Reply(body=body))
        assert error.message.startswith("corp/upstream-model sent what is not an answer: ")
    error = await failure(upstream, made(), Reply(body=b'{"status":"ok"}'))
    assert error.message == 'corp/upstream-model sent what is not an answer: {"status":"ok"}'


async def test_leaving_closes_the_upstream_call(upstream: ProviderServer) -> None:
    before = upstream.left
    upstream.answers.append(Stream(events=[PIECE, asyncio.Event()]))
    provider = RemoteProvider(remote_settings(upstream))
    answer = provider.answer(came({"stream": True}))
    assert (await anext(answer)).text == "Hi"
    await answer.aclose()  # type: ignore[attr-defined]
    await upstream.until(lambda it: it.left == before + 1)
    await provider.close()


async def test_a_connection_is_used_again(upstream: ProviderServer) -> None:
    before = upstream.connections
    provider = RemoteProvider(remote_settings(upstream))
    for stream in (True, False, True):
        async for _ in provider.answer(came({"stream": stream})):
            pass
    assert upstream.connections - before == 1
    await provider.close()
