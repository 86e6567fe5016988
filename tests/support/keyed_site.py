"""A whole server with keys: the console, documents and traces of project `local`, and a second tenant beside it."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from penstock.access.store import Access
from penstock.access.values import MadeKey, NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.clock import ManualClock
from penstock.console.routes import routes as console_routes
from penstock.exchange import Role
from penstock.gateway.admission import Admission
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import Registry
from penstock.gateway.services import Services
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build
from support.console_site import open_site

Opening = Callable[[Path], AbstractAsyncContextManager[Services]]
QUESTION = "How is the gate closed?"
OTHER = "team-b"


@dataclass
class Answer:
    status: int
    body: str
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class KeyedSite:
    """`clock` is that of the keys; it moves only when told to."""

    services: Services
    access: Access
    clock: ManualClock
    session: aiohttp.ClientSession
    server: HttpServer = dataclasses.field(init=False)

    @property
    def url(self) -> str:
        return self.server.url

    async def make(self, name: str, role: Role = "developer", project: str = "local", **rights: Any) -> MadeKey:
        return await self.access.keys.create(
            COMMAND_LINE, NewKey(name=name, role=role, project_id=project, **rights)
        )

    async def secret(self, name: str, role: Role = "developer", project: str = "local", **rights: Any) -> str:
        return (await self.make(name, role, project, **rights)).secret.reveal()

    async def ask(self, method: str, path: str, key: str | None = None, **options: Any) -> Answer:
        headers = options.pop("headers", {}) | ({"authorization": f"Bearer {key}"} if key else {})
        async with self.session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response.status, (await response.read()).decode("utf-8", "replace"), response.headers)

    async def open_app_to(self, *projects: str) -> None:
        """Serves anew with an app that other projects may ask, as `[app] projects` says."""
        await self.stop()
        app = self.services.settings.app.model_copy(update={"projects": projects})
        settings = self.services.settings.model_copy(update={"app": app})
        (plant,) = self.services.registry
        registry = Registry([msgspec.structs.replace(plant, projects=("local", *projects))])
        stages = standard_stages(registry, self.services.traces, Meter(), admission=Admission(8))
        self.services = dataclasses.replace(
            self.services, settings=settings, registry=registry, pipeline=Pipeline(stages)
        )
        await self.start()

    async def start(self) -> None:
        self.server = HttpServer(build(self.services, console_routes()), ServerAddress(port=0))
        await self.server.start()

    async def stop(self) -> None:
        await asyncio.wait_for(self.server.stop(), 30)

    async def chat(self, key: str | None, model: str = "plant", text: str = QUESTION) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return await self.ask("POST", "/v1/chat/completions", key, json=body)


@asynccontextmanager
async def keyed_site(folder: Path, opening: Opening = open_site) -> AsyncIterator[KeyedSite]:
    """In local mode until the first key is made; the project `team-b` is there."""
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(opening(folder))
        access = Access.open(folder, folder, clock=clock)
        stack.push_async_callback(access.close)
        await access.projects.create(COMMAND_LINE, OTHER, "Team B")
        services = dataclasses.replace(services, access=access)
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        site = KeyedSite(services, access, clock, session)
        await site.start()
        stack.push_async_callback(lambda: site.stop())
        yield site
