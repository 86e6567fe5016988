"""A whole server on loopback in front of scripted targets: real sockets, real traces, nothing to download."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from openai import AsyncOpenAI
from starlette.routing import BaseRoute

from penstock.access.ledger import Ledger
from penstock.access.limits import Limits
from penstock.access.store import Access
from penstock.config import AppSettings, ServerSettings, Settings
from penstock.config.batches import BatchSettings
from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.admission import Admission
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import ENGINE_FEATURES, Registry, Target
from penstock.gateway.responses.store import ResponseStore
from penstock.gateway.services import Services
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build
from penstock.jobs.store import JobStore
from penstock.models.providers.embedding import EmbeddingProvider
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import RemoteSettings, Timeouts, remote
from penstock.platform.batches import open_batches
from penstock.seams import Provider
from penstock.testing import FakeEmbedder, FakeProvider, ProviderServer
from penstock.traces.span import TraceDetail, TraceFilter
from penstock.traces.store import TraceStore


def model(provider: Provider | None = None, name: str = "tiny", **fields: Any) -> Target:
    """A local model."""
    fields = {"operations": frozenset({"chat", "complete"}), "features": ENGINE_FEATURES} | fields
    return Target(name=name, kind="model", provider=provider or FakeProvider("Hello", " world"), **fields)


OPENAI = frozenset({"openai"})


def embedder(name: str = "vectors") -> Target:
    provider = EmbeddingProvider(FakeEmbedder(name, 8))
    return Target(name=name, kind="embedder", provider=provider, operations=frozenset({"embed"}))


def remote_settings(upstream: ProviderServer, timeouts: Timeouts | None = None, **fields: Any) -> RemoteSettings:
    settings = remote("corp/upstream-model", upstream.base_url, fields.pop("api_key", None))
    changed = {name: getattr(settings, name) for name in settings.__struct_fields__} | fields
    return RemoteSettings(**changed | ({"timeouts": timeouts} if timeouts else {}))


def remote_model(upstream: ProviderServer, name: str = "big", **fields: Any) -> Target:
    provider = RemoteProvider(remote_settings(upstream, **fields))
    operations = frozenset({"chat", "complete", "embed"})
    return Target(name=name, kind="model", provider=provider, operations=operations, features=None, forwards=OPENAI)


@dataclass
class Site:
    services: Services
    server: HttpServer
    session: aiohttp.ClientSession
    clients: AsyncExitStack

    @property
    def url(self) -> str:
        return self.server.url

    def client(self) -> AsyncOpenAI:
        """The official client; closed with the site."""
        client = AsyncOpenAI(base_url=f"{self.url}/v1", api_key="local", max_retries=0)
        self.clients.push_async_callback(client.close)
        return client

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any, Any]:
        """Status, decoded body and headers. `body` is JSON, or bytes as they are."""
        given = {"data": body} if isinstance(body, bytes) else {"json": body}
        headers = {"content-type": "application/json"} | options.pop("headers", {})
        async with self.session.post(self.url + path, headers=headers, **given, **options) as response:
            data = await response.read()
            kind = response.content_type
            return response.status, await response.json() if kind == "application/json" else data, response.headers

    async def chat(self, text: str = "Hi", model: str = "tiny", **fields: Any) -> tuple[int, Any, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return await self.post("/v1/chat/completions", body)

    async def events(self, path: str, body: Any) -> list[bytes]:
        """The data of every event of a stream."""
        async with self.session.post(self.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            frames = (await response.read()).split(b"\n\n")
        assert frames.pop() == b""
        return [frame.removeprefix(b"data: ") for frame in frames]

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        async with self.session.get(self.url + path, headers=headers) as response:
            data = await response.read()
            kind = response.content_type
            return response.status, await response.json() if kind == "application/json" else data, response.headers

    async def last_trace(self) -> TraceDetail:
        """The newest trace, once everything is written."""
        assert await self.services.traces.flush()
        page = await self.services.traces.list(TraceFilter(project_id=LOCAL_PROJECT), 1)
        detail = await self.services.traces.get(page.traces[0].id, LOCAL_PROJECT)
        assert detail is not None
        return detail


def settings_of(server: ServerSettings, batches: BatchSettings) -> Settings:
    return Settings(app=AppSettings(name="docs"), models={}, knowledge={}, server=server, batches=batches)


@asynccontextmanager
async def site(
    folder: Path,
    *targets: Target,
    routes: Sequence[BaseRoute] = (),
    drain: float = 5.0,
    cache: AnswerCache | None = None,
    limits: Limits | None = None,
    ledger: Ledger | None = None,
    batches: BatchSettings | None = None,
    access: Access | None = None,
    **server: Any,
) -> AsyncIterator[Site]:
    """Serves the targets, by default a model "tiny", until the block ends; batches where they have settings."""
    traces = TraceStore.open(folder / "traces.db")
    responses = ResponseStore(folder)
    registry = Registry(targets or (model(),))
    meter = Meter()
    settings = ServerSettings(**{"request_seconds": 20.0} | server)
    shared: dict[str, Any] = {
        "responses": responses,
        "cache": cache,
        "limits": limits,
        "ledger": ledger,
        "admission": Admission(settings.max_in_flight),
    }
    services = Services(
        app_name="docs",
        settings=settings_of(settings, batches or BatchSettings()),
        pipeline=Pipeline(standard_stages(registry, traces, meter, **shared)),
        registry=registry,
        traces=traces,
        meter=meter,
        access=access,
        **shared,
    )
    stack = AsyncExitStack()
    jobs = JobStore(folder)
    stack.callback(jobs.close)
    batching = open_batches(jobs, lambda: services) if batches is not None else None
    working = asyncio.create_task(batching.work()) if batching is not None else None
    running = HttpServer(build(services, routes, batching), ServerAddress(port=0, drain_seconds=drain))
    await running.start()
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, AsyncExitStack() as clients:
            yield Site(services, running, session, clients)
    finally:
        await asyncio.wait_for(running.stop(), 30)
        if working is not None:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        await stack.aclose()
        for target in registry:
            await target.provider.close()
        traces.close()
        responses.close()
