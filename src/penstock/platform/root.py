"""The composition root: from an app folder to everything that answers its questions, and down again.

    async with Platform.open(load("my-docs")) as platform:
        await platform.ingest()
        await platform.serve()

It alone imports everything, and it is the only place where parts are joined.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette

from penstock.access.store import Access
from penstock.batches.service import Batches
from penstock.config import AppFolder
from penstock.console.routes import routes as console_routes
from penstock.errors import PenstockError
from penstock.exchange import Exchange, Message
from penstock.gateway.pipeline import Pipeline
from penstock.gateway.services import Services
from penstock.http.metrics import own_figures
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build, use
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.base import IngestSummary, KnowledgeBase
from penstock.knowledge.ingestion.records import RULES, RunRules
from penstock.platform.batches import open_batches
from penstock.platform.configured import Configured
from penstock.platform.knowledge import Reingestion
from penstock.platform.lasting import QUIET, Lasting, OnIngest, Opening, Watch
from penstock.platform.live import LiveConfiguration
from penstock.platform.tls import certificate_of, certificates
from penstock.platform.workers.peers import Answer, Peers
from penstock.platform.workers.worker import Worker
from penstock.releases.release import Release
from penstock.seams import Engine
from penstock.storage.lock import FolderLock
from penstock.traces.store import TraceStore

logger = logging.getLogger(__name__)

COLLECT_AFTER = (8_000, 50, 50)
"""When the collector looks for cycles: seldom, for requests leave none behind, but each time through few objects.

A look at 50,000 new ones, as 200 streams have that begin at once, would keep everybody waiting for 12 ms.
"""


class Platform:
    """The running parts of one app. Made by `open`, which also takes them down."""

    def __init__(self, folder: AppFolder, watch: Watch, worker: Worker | None = None) -> None:
        self._watch = watch
        self._worker = worker
        self._peers: Peers | None = None
        self._stack = AsyncExitStack()
        self._http: Starlette | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._retention: list[asyncio.Task[None]] = []
        self.lock = FolderLock(folder.make_data_folder())
        self.lasting: Lasting
        self.batches: Batches
        self.live: LiveConfiguration

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: AppFolder, watch: Watch = QUIET, worker: Worker | None = None
    ) -> AsyncIterator[Platform]:
        """Takes the data folder's lock and builds every part; encoders are running then, engines start when needed.

        A `worker` is one of several processes, whose supervisor has the lock.

        Raises `StorageError` where another process holds the folder, and what a part raises that cannot start.
        """
        platform = cls(folder, watch, worker)
        async with platform._stack as stack:
            if worker is None:
                stack.enter_context(platform.lock)
            else:
                platform._peers = Peers(worker, platform._answers())
            coordinator = worker.limits if worker else None
            platform.lasting = await Opening(folder, watch, stack, coordinator).open()
            platform.live = LiveConfiguration(folder, platform.lasting, platform._switch, platform._peers)
            stack.push_async_callback(platform.live.close)
            platform.batches = open_batches(platform.lasting.jobs, lambda: platform.services)
            yield platform

    @property
    def leads(self) -> bool:
        """Whether this process does what is to be done once, such as deleting old traces and running batches."""
        return self._worker is None or self._worker.leads

    @property
    def configured(self) -> Configured:
        """What new requests get; another one after a reload."""
        return self.live.current

    @property
    def folder(self) -> AppFolder:
        return self.configured.folder

    @property
    def services(self) -> Services:
        return self.configured.services

    @property
    def pipeline(self) -> Pipeline:
        return self.services.pipeline

    @property
    def app(self) -> GroundedApp | None:
        return self.configured.app

    @property
    def release(self) -> Release | None:
        return self.configured.release

    @property
    def engines(self) -> Mapping[str, Engine]:
        return self.services.engines

    @property
    def knowledge(self) -> dict[str, KnowledgeBase]:
        return self.lasting.knowledge

    @property
    def traces(self) -> TraceStore:
        return self.lasting.traces

    @property
    def access(self) -> Access:
        return self.lasting.access

    def exchange(self, messages: Sequence[Message], *, stream: bool = True) -> Exchange:
        """A question to the app from this process."""
        return Exchange(
            id=new_id("req"),
            trace_id=new_trace_id(),
            model=self.folder.name,
            messages=tuple(messages),
            stream=stream,
            deadline=time.monotonic() + self.folder.settings.server.request_seconds,
        )

    async def ingest(self, on_ingest: OnIngest | None = None, rules: RunRules = RULES) -> dict[str, IngestSummary]:
        """Brings every knowledge base in line with its files; what did not change costs nothing.

        Raises `ConfigError` where there is nothing to read, `StorageFull`, or what the embedder raises.
        """
        tell = on_ingest or self._watch.on_ingest
        summaries = {}
        for name, base in self.lasting.knowledge.items():
            sources = self.lasting.sources[name]
            before = base.generation()
            summaries[name] = await base.ingest(sources, progress=partial(tell, name), rules=rules, trigger="cli")
            if self.services.gaps is not None and base.generation() != before:
                await self.services.gaps.after_ingestion(name)
        return summaries

    async def warm(self) -> None:
        """Starts the engines, so that the first request need not wait. One that cannot start says so in the log."""
        for name, engine in self.engines.items():
            try:
                await engine.start()
            except PenstockError as error:
                logger.error("%s does not start: %s", name, error)

    async def serve(self, on_listening: Callable[[str], None] = lambda url: None) -> None:
        """Serves until SIGTERM or SIGINT, and lets answers finish; SIGHUP reads the configuration again.

        Raises `ConfigError` for the port.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: self._start(self.live.reload_on_signal()))
        address = self._address()
        if self.app is not None:
            await self.app.warm()
        self._http = build(self.services, console_routes(), self.batches)
        server = HttpServer(self._http, address)
        await server.start()
        if self._worker is None:
            self.lock.announce(server.url, self.access.keys.owner_token(), certificate_of(self.folder))
        else:
            self.access.keys.owner_token(self._worker.token)
        if self._peers is not None:
            await self._peers.start()
        self._start(self.warm())
        self._start(self.access.follow())
        if address.tls is not None:
            self._start(address.tls.follow())
        self._start(self.batches.work())
        for base in self.lasting.knowledge.values():
            if base.mirror is not None:
                self._start(base.mirror.follow())
        if self.leads:
            self._start(Reingestion(self.folder, self.lasting.ingestions).follow())
            for name, base in self.lasting.knowledge.items():
                base.tells(partial(self._ask_again, name))
        self._retain()
        on_listening(server.url)
        # What exists now stays to the end: the collector need not walk through it again with every request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        try:
            await server.serve_forever()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            if self._peers is not None:
                await self._peers.close()
            await end([*self._tasks, *self._retention])
            self._http = None

    def _ask_again(self, knowledge: str) -> None:
        if self.services.gaps is not None:
            self._start(self.services.gaps.after_ingestion(knowledge))

    def _address(self) -> ServerAddress:
        settings = self.folder.settings.server
        return ServerAddress(
            host=settings.host,
            port=self._worker.port if self._worker else settings.port,
            drain_seconds=settings.drain_seconds,
            keyed=self.access.keys.required,
            shared=self._worker is not None,
            tls=certificates(self.folder),
        )

    def _answers(self) -> dict[str, Answer]:
        """What other workers may ask this one."""

        async def figures() -> bytes:
            return own_figures(self.services)

        async def reload() -> bytes:
            return await self.live.reload_for_peer()

        return {"metrics": figures, "reload": reload}

    def _switch(self, configured: Configured) -> None:
        """Gives another configuration to all requests from now on."""
        if self._http is None:
            return
        use(self._http, configured.services)
        self._start(self.warm())
        for task in self._retention:
            task.cancel()
        self._retain()

    def _retain(self) -> None:
        """Deletes what is old, for as long as the configuration says so; of several processes only the first."""
        if not self.leads:
            return
        days = self.folder.settings.traces.keep_days
        self._retention = [asyncio.create_task(self.traces.retain(days))]
        if self.lasting.responses is not None:
            self._retention.append(asyncio.create_task(self.lasting.responses.retain(days)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = tuple(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
