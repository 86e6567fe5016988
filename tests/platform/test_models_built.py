"""Models built from a configuration, and built again from the next one under way."""

import asyncio
from typing import Any

import pytest
from support.routing import ask
from support.served_routes import at, model, parts, registry

from penstock.config import Secret
from penstock.errors import ConfigError, ModelNotFound
from penstock.gateway.registry import Registry
from penstock.gateway.routing.paced import PacedProvider
from penstock.gateway.routing.report import routes_of
from penstock.gateway.routing.route import Route
from penstock.testing import ProviderServer, Reply

WHOLE = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
LOCAL = "smollm2-135m-instruct"


def route(built: Registry, name: str) -> Route:
    provider = built.get(name).provider
    assert isinstance(provider, Route)
    return provider


def elsewhere(use: str, **fields: Any) -> Any:
    return model(use=use, base_url="http://127.0.0.1:9/v1", **fields)


async def test_names_and_ways() -> None:
    own = parts()
    built = registry(
        own,
        smart=model(
            targets=[
                {"use": "corp/large", "base_url": "http://10.0.0.7:8000/v1", "weight": 2},
                {"use": "corp/large", "base_url": "http://10.0.0.8:8000/v1"},
                {"use": "corp/other", "base_url": "http://10.0.0.9/v1"},
                {"use": LOCAL, "max_in_flight": 3},
                {"use": LOCAL},
            ],
            fallback=["small", "ollama/llama3.2", "vllm/far"],
            longer="vllm/far",
            difficulty={"easy": LOCAL},
        ),
        small=model(use=LOCAL, first_token_seconds=5),
    )
    assert [target.name for target in built] == ["smart", "small", LOCAL]
    smart = route(built, "smart")
    assert [(each.name, each.weight, each.limit) for each in smart.backends] == [
        ("corp/large@10.0.0.7:8000", 2.0, None),
        ("corp/large@10.0.0.8:8000", 1.0, None),
        ("corp/other", 1.0, None),
        (LOCAL, 1.0, 3),
        (f"{LOCAL}#5", 1.0, None),
    ]
    assert [way.name for way in smart.fallbacks] == ["small", "ollama/llama3.2", "vllm/far"]
    assert smart.longer is smart.fallbacks[2], "one route for one model, however often it is named"
    assert smart.difficulty is not None
    assert smart.difficulty.easy is route(built, "small") is route(built, LOCAL)
    assert isinstance(route(built, "small").backends[0].provider, PacedProvider)
    assert set(own.engines_of(built)) == {"smart-4", "smart-5", "small"}
    assert "embed" in built.get("smart").operations and "embed" not in built.get("small").operations
    assert built.get("small").owned_by == "penstock"
    with pytest.raises(ModelNotFound):
        built.get("ollama/llama3.2")
    assert {each.name for each in routes_of(built)} == {"smart", "small", "ollama/llama3.2", "vllm/far"}
    await own.close()


async def test_deadlines_reach_the_connection() -> None:
    own = parts()
    built = registry(own, a=elsewhere("corp/a", connect_seconds=1, first_token_seconds=2, between_tokens_seconds=3))
    provider = route(built, "a").backends[0].provider
    timeouts = provider.settings.timeouts  # type: ignore[attr-defined]
    assert (timeouts.connect, timeouts.first_token, timeouts.between_tokens) == (1, 2, 3)
    await own.close()


async def test_what_did_not_change_runs_on_with_what_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "secret")
    own = parts()
    first = registry(own, a=elsewhere("corp/a"), b=elsewhere("corp/b"), local=model(use=LOCAL))
    before = {name: route(first, name).backends[0] for name in ("a", "b", "local")}
    before["a"].health.eject(0.0, 1e9)
    route(first, "a").counts.retries = 7
    second = registry(
        own,
        a=elsewhere("corp/a", retries=0, fallback=["b"], max_in_flight=2),
        b=elsewhere("corp/b", api_key=Secret.from_env("KEY")),
        local=model(use=LOCAL, max_in_flight=1),
    )
    after = {name: route(second, name).backends[0] for name in ("a", "b", "local")}
    assert after["a"].provider is before["a"].provider
    assert after["a"].health is before["a"].health and after["a"].health.ejected
    assert (after["a"].limit, before["a"].limit) == (2, None), "what runs keeps the old settings"
    assert route(second, "a").counts.retries == 7
    assert route(second, "a").process.budget is route(first, "a").process.budget
    assert after["local"].provider is before["local"].provider, "an engine is not started again for a limit"
    assert after["b"].provider is not before["b"].provider, "another key is another account"
    assert not after["b"].health.attempts
    await own.close()


async def test_what_is_no_longer_named_is_closed_after_its_last_answer() -> None:
    going = asyncio.Event()
    async with ProviderServer(lambda received: Reply(body=WHOLE, after=going)) as upstream:
        own = parts()
        first = registry(own, old=model(**at(upstream, "corp/old")), same=model(**at(upstream, "corp/same")))
        answers = first.get("old").provider.answer(ask(deadline=float("inf")))
        pending = asyncio.ensure_future(anext(answers))
        await upstream.until(lambda server: len(server.received) == 1)
        second = registry(own, same=model(**at(upstream, "corp/same")))
        retiring = asyncio.ensure_future(own.retire(second))
        done, _ = await asyncio.wait({retiring}, timeout=0)
        assert not done, "somebody still gets an answer"
        going.set()
        assert (await pending).text == "Hi"
        await answers.aclose()
        await asyncio.wait_for(retiring, 5)
        assert route(second, "same").backends[0].provider is route(first, "same").backends[0].provider
        await own.retire(Registry())
        await own.close()


async def test_a_bad_configuration_leaves_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MISSING_KEY", raising=False)
    own = parts()
    first = registry(own, a=elsewhere("corp/a"))
    with pytest.raises(ConfigError, match="MISSING_KEY"):
        registry(own, a=elsewhere("corp/a", api_key=Secret.from_env("MISSING_KEY")))
    with pytest.raises(ConfigError, match="There is no vendor 'opnai'"):
        registry(own, a=elsewhere("corp/a", fallback=["opnai/gpt"]))
    again = registry(own, a=elsewhere("corp/a"))
    assert route(again, "a").backends[0].provider is route(first, "a").backends[0].provider
    await own.close()
