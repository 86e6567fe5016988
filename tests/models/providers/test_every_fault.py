"""Every fault of the simulator, every vendor: what it becomes, and what was delivered before it."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from support.simulated import MODELS, answer_of, ask, chunks_of, failure_of, provider_at

from penstock.errors import DeadlineExceeded, FailureKind, UnsupportedFeature, UpstreamFailed, UpstreamTimeout
from penstock.exchange import (
    ImageUrl,
    Message,
    Part,
)
from penstock.models.providers.vendors import Timeouts
from penstock.testing import Fault, Plan, ProviderServer, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

VENDORS = pytest.mark.parametrize("vendor", MODELS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as it:
        yield it


REFUSALS: dict[str, FailureKind] = {
    "rate_limit": "rate_limit",
    "overloaded": "overloaded",
    "server_error": "server_error",
    "context_length": "context_length",
    "auth": "auth",
}


@pytest.mark.parametrize("trouble", REFUSALS)
@VENDORS
async def test_a_refusal_has_its_kind(server: ProviderServer, vendor: str, trouble: Any) -> None:
    for stream in (False, True):
        error = await failure_of(vendor, server, ask(stream=stream), Fault(kind=trouble, retry_after=7))
        assert isinstance(error, UpstreamFailed)
        assert error.kind == REFUSALS[trouble]
        assert error.upstream_status is not None
        assert error.body is None
        assert error.retry_after == (None if trouble == "auth" else 7)
        assert MODELS[vendor] in error.message


@VENDORS
async def test_a_date_of_retry_after_is_read(server: ProviderServer, vendor: str) -> None:
    fault = Fault(kind="rate_limit", retry_after=60, as_date=True)
    error = await failure_of(vendor, server, ask(), fault)
    assert error.retry_after is not None
    assert 50 < error.retry_after <= 60


async def test_gemini_says_in_its_body_when_to_come_back(server: ProviderServer) -> None:
    error = await failure_of("gemini", server, ask(), Fault(kind="rate_limit"))
    assert error.retry_after == 31


BREAKS = ("cut_in_stream", "bad_json", "half_utf8", "oversize")


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini", "bedrock"])
async def test_a_broken_stream_is_an_error_after_what_came(server: ProviderServer, vendor: str, kind: Any) -> None:
    server.schedule.plans = [Plan(fault=Fault(kind=kind, after=4 if vendor == "anthropic" else 2))]
    came: list[str] = []
    try:
        async with provider_at(vendor, server) as provider:
            with pytest.raises(UpstreamFailed) as caught:
                async with aclosing(provider.answer(ask(stream=True))) as answer:  # type: ignore[type-var]
                    async for chunk in answer:
                        came.append(chunk.text)
    finally:
        server.schedule.plans = []
    assert caught.value.kind == "broken_stream"
    assert "Say three words".startswith("".join(came))


@VENDORS
async def test_an_error_inside_a_stream(server: ProviderServer, vendor: str) -> None:
    error = await failure_of(vendor, server, ask(stream=True), Fault(kind="error_in_stream"))
    assert isinstance(error, UpstreamFailed)
    assert error.kind == "overloaded"
    assert error.message.startswith(f"{MODELS[vendor]} failed in its stream: ")


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini"])
async def test_an_error_inside_a_whole_answer(server: ProviderServer, vendor: str) -> None:
    """Some vendors refuse with status 200."""
    server.schedule.plans = [Plan(fault=Fault(kind="rate_limit"))]
    async with aiohttp.ClientSession() as session:
        path = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "gemini": "/v1beta/models/x:g"}[
            vendor
        ]
        body = {"messages": [{"role": "user", "content": "Hi"}], "contents": [{"parts": [{"text": "Hi"}]}]}
        async with session.post(server.url + path, json=body) as response:
            refusal = await response.read()
    server.schedule.plans = []
    server.answers.append(Reply(body=refusal))
    error = await failure_of(vendor, server, ask())
    assert isinstance(error, UpstreamFailed)
    assert error.kind == "rate_limit"
    assert error.message.startswith(f"{MODELS[vendor]} failed: ")


async def test_what_a_message_links_to_is_not_fetched(server: ProviderServer) -> None:
    asked = len(server.received)
    link = Part("image_url", image_url=ImageUrl(f"{server.url}/private.png"))
    await answer_of("gemini", server, ask(messages=(Message("user", [Part("text", "See"), link]),)))
    error = await failure_of("bedrock", server, ask(messages=(Message("user", [link]),)))
    assert isinstance(error, UnsupportedFeature)
    assert len(server.received) == asked + 1


@pytest.mark.parametrize("kind", ["no_usage", "null_usage"])
@STREAMED
@VENDORS
async def test_usage_that_is_missing_is_unknown(
    server: ProviderServer, vendor: str, stream: bool, kind: Any
) -> None:
    server.schedule.plans = [Plan(fault=Fault(kind=kind))]
    try:
        answer = await answer_of(vendor, server, ask(stream=stream))
    finally:
        server.schedule.plans = []
    assert answer.text == "Say three words"
    assert answer.usage is None


@STREAMED
@VENDORS
async def test_usage_that_cannot_be_is_unknown(server: ProviderServer, vendor: str, stream: bool) -> None:
    server.schedule.plans = [Plan(fault=Fault(kind="absurd_usage"))]
    try:
        answer = await answer_of(vendor, server, ask(stream=stream))
    finally:
        server.schedule.plans = []
    assert (answer.text, answer.usage) == ("Say three words", None)


@VENDORS
async def test_silence_ends_at_its_deadline(server: ProviderServer, vendor: str) -> None:
    short = Timeouts(first_token=0.05, between_tokens=0.05)
    for kind in ("stall", "stall_in_stream"):
        error = await failure_of(vendor, server, ask(stream=True), Fault(kind=kind), timeouts=short)  # type: ignore[arg-type]
        assert isinstance(error, UpstreamTimeout)
        assert (error.kind, error.message) == ("timeout", f"{MODELS[vendor]} sent nothing for 0.05 s.")
    late = ask(deadline=time.monotonic() + 0.05)
    error = await failure_of(vendor, server, late, Fault(kind="stall"))
    assert type(error) is DeadlineExceeded


@VENDORS
async def test_a_slow_answer_is_an_answer(server: ProviderServer, vendor: str) -> None:
    for fault in (Fault(kind="drip", seconds=0), Fault(kind="delay", seconds=0.01)):
        for stream in (False, True):
            server.schedule.plans = [Plan(fault=fault)]
            answer = await answer_of(vendor, server, ask(stream=stream))
            server.schedule.plans = []
            assert answer.text == "Say three words"


@VENDORS
async def test_a_connection_that_is_cut(server: ProviderServer, vendor: str) -> None:
    error = await failure_of(vendor, server, ask(), Fault(kind="cut"))
    assert isinstance(error, UpstreamFailed)
    assert error.kind == "connection"


@VENDORS
async def test_a_connection_that_was_closed_meanwhile_is_replaced(server: ProviderServer, vendor: str) -> None:
    server.schedule.plans = [Plan(fault=Fault(kind="stale_connection"))]
    try:
        async with provider_at(vendor, server) as provider:
            for _ in range(3):
                assert len(await chunks_of(provider, ask())) == 1
    finally:
        server.schedule.plans = []


async def test_a_provider_that_refuses_connections() -> None:
    async with ProviderServer() as down, provider_at("openai", down) as provider:
        await down.refuse()
        with pytest.raises(UpstreamFailed, match="cannot connect to http:") as caught:
            await chunks_of(provider, ask())
        assert caught.value.kind == "connection"
        await down.listen()
        assert len(await chunks_of(provider, ask())) == 1


async def test_what_is_no_tls(server: ProviderServer) -> None:
    plain = f"https{server.base_url.removeprefix('http')}"
    error = await failure_of("openai", server, ask(), base_url=plain)
    assert isinstance(error, UpstreamFailed)
    assert error.kind == "connection"
    assert "no secure connection" in error.message
