"""Answers in the vendors' own shapes: what is read of them, and of which kind their errors are."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.simulated import KEY, answer_of, ask, chunks_of, failure_of, provider_at

from penstock.config import Secret
from penstock.errors import UpstreamFailed
from penstock.exchange import Chunk, FunctionCall, ThinkingBlock, Usage
from penstock.models.dialects.bedrock.dialect import STREAM
from penstock.models.dialects.bedrock.frames import Frame, encoded
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import Account, remote, vendors
from penstock.testing import Bytes, ProviderServer, Reply, Stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXTURES = Path(__file__).parents[2] / "fixtures" / "providers"
CALLS = [FunctionCall("get_weather", '{"city":"Bern"}'), FunctionCall("get_time", "{}")]
SIGNED = {
    "anthropic": ThinkingBlock("thinking", "I need the weather.", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"),
    "gemini": ThinkingBlock("thinking", "I need the weather.", "gemini:EpwICpkIAXLI2nxlU6gsWZaZ"),
    "bedrock": ThinkingBlock("thinking", "I need the weather.", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"),
}
ERRORS: list[dict[str, Any]] = json.loads((FIXTURES / "errors.json").read_text())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as it:
        yield it


def recorded(vendor: str, name: str) -> Reply | Stream:
    """A fixture as the vendor would send it."""
    found = next((FIXTURES / vendor).glob(f"{name}.*"))
    if found.suffix == ".json":
        return Reply(body=found.read_bytes())
    if found.suffix == ".sse":
        return Stream(events=[Bytes(found.read_bytes())], done=False)
    frames = []
    for kind, payload in map(json.loads, found.read_text().splitlines()):
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        frames.append(Bytes(encoded(Frame(headers, json.dumps(payload).encode()))))
    return Stream(events=frames, done=False, media_type=STREAM)


async def read(server: ProviderServer, vendor: str, name: str) -> Chunk:
    answer = recorded(vendor, name)
    server.answers.append(answer)
    return await answer_of(vendor, server, ask(stream=isinstance(answer, Stream)))


@pytest.mark.parametrize(
    ("vendor", "usage"),
    [
        ("openai", Usage(93, 6, 1024, 40)),
        ("anthropic", Usage(95, 46, 1024, cache_write=300)),
        ("gemini", Usage(95, 6, 1024, 40)),
        ("bedrock", Usage(95, 46, 1024, cache_write=300)),
    ],
)
async def test_a_whole_answer(server: ProviderServer, vendor: str, usage: Usage) -> None:
    answer = await read(server, vendor, "whole")
    assert (answer.text, answer.finish_reason) == ("The gate closes at eight.", "stop")
    assert answer.usage == usage
    assert answer.reasoning == ("" if vendor == "openai" else "They ask for the hour.")


@pytest.mark.parametrize(
    ("vendor", "usage"),
    [
        ("openai", Usage(19, 6, 0, 0)),
        ("anthropic", Usage(25, 15, 0, cache_write=0)),
        ("gemini", Usage(15, 6, reasoning=20)),
        ("bedrock", Usage(13, 82)),
    ],
)
async def test_a_stream(server: ProviderServer, vendor: str, usage: Usage) -> None:
    answer = await read(server, vendor, "stream")
    assert (answer.text, answer.finish_reason) == ("The gate closes at eight.", "stop")
    assert answer.usage == usage


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini", "bedrock"])
async def test_parallel_calls_in_a_stream(server: ProviderServer, vendor: str) -> None:
    answer = await read(server, vendor, "tools")
    assert answer.finish_reason == "tool_calls"
    assert [json.loads(each.function.arguments) for each in answer.tool_calls] == [{"city": "Bern"}, {}]
    assert [each.function.name for each in answer.tool_calls] == [each.name for each in CALLS]
    assert len({each.id for each in answer.tool_calls}) == 2
    assert [each.index for each in answer.tool_calls] == [0, 1]
    assert answer.thinking_blocks == ((SIGNED[vendor],) if vendor in SIGNED else ())


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini", "bedrock"])
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_bytes_may_be_cut_anywhere(server: ProviderServer, vendor: str, size: int) -> None:
    whole = recorded(vendor, "tools")
    assert isinstance(whole, Stream)
    data = b"".join(step.data for step in whole.events if isinstance(step, Bytes))
    async with provider_at(vendor, server) as provider:
        reading = provider._dialect.reading(ask(stream=True), whole.media_type)
        assert reading is not None
        pieces = [chunk for at in range(0, len(data), size) for chunk in reading.feed(data[at : at + size])]
        assert reading.complete
    server.answers.append(whole)
    async with provider_at(vendor, server) as provider:
        assert [(each.text, each.reasoning) for each in pieces] == [
            (each.text, each.reasoning) for each in await chunks_of(provider, ask(stream=True))
        ]


@pytest.mark.parametrize(
    ("vendor", "name"), [("gemini", "safety"), ("gemini", "blocked"), ("bedrock", "guardrail")]
)
async def test_what_a_vendor_filters(server: ProviderServer, vendor: str, name: str) -> None:
    answer = await read(server, vendor, name)
    assert answer.finish_reason == "content_filter"
    assert answer.usage is not None


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: f"{each['use']}-{each['status']}-{each['kind']}")
async def test_errors_have_a_kind(server: ProviderServer, error: dict[str, Any]) -> None:
    vendor = error["use"].partition("/")[0]
    body = error["body"]
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    server.answers.append(Reply(status=error["status"], body=data))
    found = await failure_of(vendor, server, ask(), use=error["use"])
    assert isinstance(found, UpstreamFailed)
    assert (found.kind, found.upstream_status) == (error["kind"], error["status"])
    assert found.retry_after == error.get("retry_after")


@pytest.mark.parametrize("name", sorted(vendors()))
async def test_every_vendor_is_reached_by_its_name(
    server: ProviderServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = vendors()[name]
    if vendor.key:
        monkeypatch.setenv(vendor.key, KEY)
    account = Account(region="eu-central-1" if vendor.auth == "aws" else "")
    base_url = "https://my.openai.azure.com" if name == "azure" else None
    settings = remote(f"{name}/any-model", base_url, account=account)
    provider = RemoteProvider(settings)
    assert settings.base_url.startswith("http://127.0.0.1" if not vendor.key else "https://")
    assert "{" not in settings.base_url
    assert settings.api_key == (Secret.from_env(vendor.key) if vendor.key else None)
    assert provider.dialects
    await provider.close()
