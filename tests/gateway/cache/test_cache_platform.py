"""The cache as the platform builds it from penstock.toml."""

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from support.cache_servers import CacheServer

from penstock.config import load
from penstock.exchange import Exchange, Message, Parameters
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.cache.remote import RemoteStore
from penstock.gateway.cache.sqlite import SqliteStore
from penstock.ids import new_id, new_trace_id
from penstock.platform import Platform
from penstock.testing import ProviderServer


def written(folder: Path, url: str, cache: str) -> Path:
    model = f'[models.default]\nuse = "corp/model"\nbase_url = "{url}"\n'
    (folder / "penstock.toml").write_text(f'[app]\nname = "gate"\n\n{model}\n[cache]\n{cache}')
    return folder


async def result(platform: Platform) -> str:
    exchange = Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        model="default",
        messages=(Message("user", "Hi"),),
        parameters=Parameters(temperature=0),
    )
    async with aclosing(platform.pipeline.run(exchange)) as flight:
        assert [chunk async for chunk in flight]
        return dict(flight.headers).get(b"x-penstock-cache", b"").decode()


@pytest.mark.parametrize("store", ["memory", "sqlite", "redis", "memcached"])
async def test_every_store_can_be_configured(
    store: str, tmp_path: Path, redis: CacheServer, memcached: CacheServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: dict[str, Any] = {"memory": MemoryStore, "sqlite": SqliteStore}
    cache = f'enabled = true\nstore = "{store}"\n'
    if store in ("redis", "memcached"):
        monkeypatch.setenv("CACHE_URL", {"redis": redis, "memcached": memcached}[store].url)
        cache += 'url = { env = "CACHE_URL" }\n'
    async with ProviderServer() as upstream:
        async with Platform.open(load(written(tmp_path, upstream.base_url, cache))) as platform:
            assert platform.services.cache is not None
            assert isinstance(platform.services.cache.store, kinds.get(store, RemoteStore))
            found = [await result(platform)]
            await platform.services.cache.store.flush()
            found.append(await result(platform))
            await platform.services.cache.clear("local")
        assert found == ["miss", "hit"]
        assert len(upstream.received) == 1


async def test_a_restart_keeps_answers_and_another_model_does_not(tmp_path: Path) -> None:
    cache = 'enabled = true\nstore = "sqlite"\n'
    async with ProviderServer() as first, ProviderServer() as second:
        for url, said in ((first.base_url, "miss"), (first.base_url, "hit"), (second.base_url, "miss")):
            async with Platform.open(load(written(tmp_path, url, cache))) as platform:
                assert await result(platform) == said


async def test_the_cache_is_off_unless_it_is_turned_on(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        folder = written(tmp_path, upstream.base_url, "enabled = false\n")
        async with Platform.open(load(folder)) as platform:
            assert platform.services.cache is None
            assert [await result(platform), await result(platform)] == ["", ""]
