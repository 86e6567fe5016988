"""The composition root: from an app folder to everything that answers its questions, and down again.

    async with Platform.open(load("my-docs")) as platform:
        await platform.ingest()
        await platform.serve()

It alone imports everything, and it is the only place where parts are joined.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from penstock.access.ledger import open_ledger
from penstock.access.store import Access, open_access
from penstock.config import AppFolder, ModelSettings, Settings
from penstock.console.routes import routes as console_routes
from penstock.errors import PenstockError
from penstock.exchange import LOCAL_PROJECT, Exchange, Message, Operation
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import ENGINE_FEATURES, Registry, Target
from penstock.gateway.responses.store import ResponseStore
from penstock.gateway.services import Services
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import AnswerSettings, GroundedApp, answer_prompt
from penstock.knowledge.base import IngestProgress, IngestSummary, KnowledgeBase, KnowledgeOptions, Sources
from penstock.models.local import OnPull, card_of, start_encoder
from penstock.models.providers.embedding import EmbeddingProvider
from penstock.platform.cache import CacheParts, open_cache
from penstock.platform.limits import open_limits
from penstock.platform.models import ModelParts, build_registry
from penstock.prompts.template import Prompt
from penstock.releases.release import Release, make_release
from penstock.seams import Embedder, Engine, EngineHealth
from penstock.storage.location import open_database
from penstock.storage.lock import FolderLock
from penstock.traces.recorder import RecorderSettings
from penstock.traces.store import TraceStore

logger = logging.getLogger(__name__)

OnIngest = Callable[[str, IngestProgress], None]
MB = 1_000_000
EMBEDDING: frozenset[Operation] = frozenset({"embed", "rerank"})


@dataclass(frozen=True)
class Watch:
    """Whom to tell about long work; both are called from other threads, too."""

    on_pull: OnPull = field(default=lambda progress: None)
    on_ingest: OnIngest = field(default=lambda name, progress: None)


QUIET = Watch()


class Platform:
    """The running parts of one app. Made by `open`, which also takes them down."""

    def __init__(self, folder: AppFolder, watch: Watch) -> None:
        self.folder = folder
        self._watch = watch
        self._stack = AsyncExitStack()
        self.lock = FolderLock(folder.make_data_folder())
        self.meter = Meter()
        self.registry = Registry()
        self.embedders: dict[str, Embedder] = {}
        self._health: dict[str, Callable[[], EngineHealth]] = {}
        self.engines: dict[str, Engine] = {}
        self.models = ModelParts(watch.on_pull)
        self.knowledge: dict[str, KnowledgeBase] = {}
        self.traces: TraceStore
        self.responses: ResponseStore | None = None
        self.access: Access
        self.pipeline: Pipeline
        self.app: GroundedApp | None = None
        self.release: Release | None = None
        self.services: Services

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: AppFolder, watch: Watch = QUIET) -> AsyncIterator[Platform]:
        """Takes the data folder's lock and builds every part; encoders are running then, engines start when needed.

        Raises `StorageError` where another process holds the folder, and what a part raises that cannot start.
        """
        platform = cls(folder, watch)
        async with platform._stack as stack:
            stack.enter_context(platform.lock)
            await platform._build()
            yield platform

    async def _build(self) -> None:
        settings = self.folder.settings
        data = self.folder.data
        self.traces = TraceStore.open(
            data / "traces.db", settings=RecorderSettings(content=settings.traces.content)
        )
        self._stack.callback(self.traces.close)
        self.access = open_access(self.folder)
        self._stack.push_async_callback(self.access.close)
        limits = await open_limits(self.folder, self.access, self._stack)
        semantic = settings.cache.semantic if settings.cache.enabled else None
        compares = await self._embedder(semantic.embedder) if semantic is not None else None
        cache = open_cache(self.folder, self._stack, CacheParts(compares, self._generation))
        if settings.responses.store:
            self.responses = ResponseStore(data)
            self._stack.callback(self.responses.close)
        ledger = open_ledger(
            open_database(self.folder.database, "ledger", durable=settings.ledger.durability == "power"),
            data,
            settings.ledger.durability,
        )
        self._stack.callback(ledger.close)
        stages = standard_stages(
            self.registry,
            self.traces,
            self.meter,
            max_in_flight=settings.server.max_in_flight,
            limits=limits,
            cache=cache,
            responses=self.responses,
            ledger=ledger,
        )
        self.pipeline = Pipeline(stages)
        await self._open_knowledge()
        if self.knowledge:
            self._add_app()
        self._add_models()
        for name, embedder in self.embedders.items():
            provider = EmbeddingProvider(embedder)
            self._add(Target(name=name, kind="embedder", provider=provider, operations=EMBEDDING))
        self.services = Services(
            app_name=self.folder.name,
            settings=settings,
            pipeline=self.pipeline,
            registry=self.registry,
            traces=self.traces,
            knowledge=self.knowledge,
            sources=self.sources,
            engines=self.engines,
            embedders=self.embedders,
            health=self._health,
            meter=self.meter,
            access=self.access,
            limits=limits,
            cache=cache,
            responses=self.responses,
            ledger=ledger,
        )

    def _generation(self, app: str) -> int | None:
        """The generation of the knowledge that an app answers from."""
        return next((base.generation() for base in self.knowledge.values()), None)

    def _add_models(self) -> None:
        """The models of the configuration, each a route to what answers."""
        self._stack.push_async_callback(self.models.close)
        for target in build_registry(self.folder.settings, self.models):
            self._add(target)
        for name, engine in self.models.engines.items():
            self.engines[name] = engine
            self._health[f"models.{name}"] = engine.health

    def _add(self, target: Target) -> None:
        self.registry.add(replace(target, created=int(time.time())))

    async def _embedder(self, name: str) -> Embedder:
        """The encoder of that name, started the first time that it is needed."""
        if name not in self.embedders:
            encoder = await start_encoder(name, self._watch.on_pull)
            self._stack.push_async_callback(encoder.close)
            self.embedders[name] = encoder
            self._health[name] = encoder.health
        return self.embedders[name]

    async def _open_knowledge(self) -> None:
        for name, settings in self.folder.settings.knowledge.items():
            embedder = await self._embedder(settings.embedder)
            options = KnowledgeOptions(
                chunk_tokens=settings.chunk_tokens,
                max_file_bytes=int(settings.max_file_mb * MB),
                parse_seconds=settings.parse_seconds,
                parse_memory_bytes=settings.parse_memory_mb * MB,
            )
            path = self.folder.data / f"knowledge-{name}.db"
            self.knowledge[name] = KnowledgeBase.open(path, name, embedder, options)
            self._stack.callback(self.knowledge[name].close)

    def _add_app(self) -> None:
        """The app itself: what its folder is called, answered from all its documents."""
        settings = self.folder.settings
        default = settings.models.get("default")
        prompt = answer_prompt(self.folder.root / "prompts" / "answer.md" if self.folder.file else None)
        answer = AnswerSettings(
            mode=settings.app.mode,
            model="default" if default else "",
            grounds_well=default is not None and grounds_well(default),
            prompt=prompt,
        )
        self.release = make_release(self.folder.name, what_shapes_answers(settings, prompt, self.embedders))
        ((name, base),) = self.knowledge.items()
        embedder = self.embedders[settings.knowledge[name].embedder]
        self.app = GroundedApp(self.folder.name, base, embedder, self.pipeline.call, answer)
        self._add(
            Target(
                name=self.folder.name,
                kind="app",
                provider=self.app,
                operations=frozenset({"chat"}),
                features=ENGINE_FEATURES if answer.composes else frozenset(),
                release_id=self.release.id,
                projects=(LOCAL_PROJECT, *settings.app.projects),
            )
        )

    @property
    def sources(self) -> dict[str, Sources]:
        """The files of each knowledge base."""
        folder = self.folder
        return {
            name: Sources(folder.source_root, folder.settings.knowledge[name].sources, folder.excludes(name))
            for name in self.knowledge
        }

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

    async def ingest(self, on_ingest: OnIngest | None = None) -> dict[str, IngestSummary]:
        """Brings every knowledge base in line with its files; what did not change costs nothing.

        Raises `ConfigError` where there is nothing to read, `StorageFull`, or what the embedder raises.
        """
        tell = on_ingest or self._watch.on_ingest
        summaries = {}
        for name, base in self.knowledge.items():
            summaries[name] = await base.ingest(self.sources[name], progress=partial(tell, name))
        return summaries

    async def warm(self) -> None:
        """Starts the engines, so that the first request need not wait. One that cannot start says so in the log."""
        for name, engine in self.engines.items():
            try:
                await engine.start()
            except PenstockError as error:
                logger.error("%s does not start: %s", name, error)

    async def serve(self, on_listening: Callable[[str], None] = lambda url: None) -> None:
        """Serves until SIGTERM or SIGINT, and lets answers finish. Raises `ConfigError` for the port."""
        settings = self.folder.settings
        address = ServerAddress(
            host=settings.server.host,
            port=settings.server.port,
            drain_seconds=settings.server.drain_seconds,
            keyed=self.access.keys.required,
        )
        if self.app is not None:
            await self.app.warm()
        server = HttpServer(build(self.services, console_routes()), address)
        await server.start()
        self.lock.announce(server.url, self.access.keys.owner_token())
        background = [
            asyncio.create_task(self.warm()),
            asyncio.create_task(self.access.follow()),
            asyncio.create_task(self.traces.retain(settings.traces.keep_days)),
        ]
        if self.responses is not None:
            background.append(asyncio.create_task(self.responses.retain(settings.traces.keep_days)))
        on_listening(server.url)
        # What exists now stays to the end: the collector need not walk through it again with every request.
        gc.collect()
        gc.freeze()
        try:
            await server.serve_forever()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


def composes(settings: Settings) -> bool:
    """Whether answers of the app are written by a model; if not, none is needed to answer."""
    default = settings.models.get("default")
    if settings.app.mode == "auto":
        return default is not None and grounds_well(default)
    return settings.app.mode == "compose"


def grounds_well(model: ModelSettings) -> bool:
    """Whether a model's free answers keep to the passages: remote models do, local ones as measured."""
    cards = [card_of(target.use) for target in model.backends if not target.remote]
    return all(card is not None and card.grounds_well for card in cards)


def what_shapes_answers(settings: Settings, prompt: Prompt, embedders: Mapping[str, Embedder]) -> dict[str, Any]:
    """The parts of a release: change one of these, and the same question may get another answer."""
    return {
        "penstock": importlib.metadata.version("penstock"),
        "mode": settings.app.mode,
        "prompt": prompt.digest,
        "models": {
            name: {
                "targets": [(each.use, each.engine, each.context, each.base_url) for each in model.backends],
                "leads_to": [other for _, other in model.leads_to],
                "difficulty": model.difficulty and model.difficulty.model_dump(),
            }
            for name, model in settings.models.items()
        },
        "knowledge": {
            name: {
                "sources": knowledge.sources,
                "exclude": knowledge.exclude,
                "chunk_tokens": knowledge.chunk_tokens,
                "embedder": embedders[knowledge.embedder].fingerprint,
            }
            for name, knowledge in settings.knowledge.items()
        },
    }
