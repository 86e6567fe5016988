"""Limits over HTTP: refusals in OpenAI's words, headers, and what is used."""

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from support.gateway_site import Site, model, site

from penstock.access.limits import Limits
from penstock.access.limits.local import LocalStore
from penstock.config.limits import LimitSettings
from penstock.exchange import Chunk, Usage
from penstock.testing import FakeProvider


@pytest_asyncio.fixture
async def limits(tmp_path: Path) -> AsyncIterator[Limits]:
    store = LocalStore(tmp_path / "limits.counts")
    yield Limits(store)
    await store.close()


@pytest_asyncio.fixture
async def served(tmp_path: Path, limits: Limits) -> AsyncIterator[Site]:
    provider = FakeProvider(Chunk(text="Hello", finish_reason="stop", usage=Usage(12, 3)))
    async with site(tmp_path, model(provider), limits=limits) as running:
        yield running


async def test_answers_say_what_is_left(served: Site, limits: Limits) -> None:
    limits.use([LimitSettings(requests=5, tokens=10_000, window="1h")])
    status, _, headers = await served.chat(max_tokens=100)
    assert status == 200
    assert headers["x-ratelimit-limit-requests"] == "5"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    assert 9_800 < int(headers["x-ratelimit-remaining-tokens"]) < 9_900
    assert headers["x-ratelimit-reset-tokens"].endswith("s")
    _, _, headers = await served.chat(max_tokens=100)
    assert 9_800 < int(headers["x-ratelimit-remaining-tokens"]) + 15 < 9_900, "the first one used only 15"


async def test_the_official_client_is_told_to_slow_down(served: Site, limits: Limits) -> None:
    limits.use([LimitSettings(requests=1, window="1h")])
    client = served.client()
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}
    await client.chat.completions.create(**ask)
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(**ask)
    error = caught.value
    assert error.code == "rate_limit_exceeded"
    assert "Project 'local' has used 1 of 1 requests per 1h." in error.message
    assert int(error.response.headers["retry-after"]) > 60
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_stream_is_refused_before_it_begins(served: Site, limits: Limits) -> None:
    limits.use([LimitSettings(tokens=10)])
    status, body, _ = await served.chat(stream=True, max_tokens=50)
    assert status == 429
    assert "may use 10 tokens per 1m" in body["error"]["message"]


async def test_what_is_used_can_be_read(served: Site, limits: Limits) -> None:
    limits.use([LimitSettings(requests=5, window="day", warn_at=0.5), LimitSettings(concurrent=3, per="model")])
    status, body, _ = await served.get("/api/v1/limits")
    assert status == 200
    assert [(each["limit"], each["scope"], each["used"]) for each in body["data"]] == [
        ("each model", "", 0),
        ("each project", "", 0),
    ]
    await served.chat()
    _, body, _ = await served.get("/api/v1/limits")
    running, day = body["data"]
    assert (running["scope"], running["dimension"], running["used"], running["resets_us"]) == (
        "tiny",
        "concurrent",
        0,
        None,
    )
    resets = day.pop("resets_us")
    assert resets % 86_400_000_000 == 0
    assert day == {
        "limit": "each project",
        "per": "project",
        "scope": "local",
        "project_id": "local",
        "dimension": "requests",
        "window": "day",
        "amount": 5,
        "used": 1,
        "remaining": 4,
        "warn": 3,
    }
    _, body, _ = await served.get("/api/v1/limits?project_id=other")
    assert body["data"] == []


async def test_without_limits_there_is_nothing_to_say(tmp_path: Path) -> None:
    async with site(tmp_path) as running:
        status, body, _ = await running.get("/api/v1/limits")
        assert (status, body["data"]) == (200, [])
        _, _, headers = await running.chat()
        assert not [name for name in headers if name.startswith("x-ratelimit")]
