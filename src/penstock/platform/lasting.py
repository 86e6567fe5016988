"""What lives as long as the process, whatever its configuration: databases, knowledge, encoders, providers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from penstock.access.ledger import Ledger, open_ledger
from penstock.access.limits import Limits
from penstock.access.store import Access, open_access
from penstock.clock import SYSTEM_CLOCK
from penstock.config import AppFolder, Settings
from penstock.features.lookup import Features
from penstock.gateway.admission import Admission
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.meter import Meter
from penstock.gateway.responses.store import ResponseStore
from penstock.jobs.store import JobStore
from penstock.knowledge.base import IngestProgress, KnowledgeBase
from penstock.knowledge.gaps.store import GapStore
from penstock.knowledge.ingestion.jobs import IngestionJobs
from penstock.knowledge.search import SearchSettings
from penstock.knowledge.sources.base import Source
from penstock.models.local import OnPull
from penstock.models.reading import open_embedder, open_reranker
from penstock.platform.backends import backends_of
from penstock.platform.cache import open_cache
from penstock.platform.chunking import options_of
from penstock.platform.features import open_features
from penstock.platform.knowledge import sources_of
from penstock.platform.limits import open_limits
from penstock.platform.models import ModelParts
from penstock.seams import Embedder, EngineHealth, Reranker
from penstock.storage.location import open_database
from penstock.traces.recorder import RecorderSettings
from penstock.traces.store import TraceStore

OnIngest = Callable[[str, IngestProgress], None]
MB = 1_000_000


@dataclass(frozen=True)
class Watch:
    """Whom to tell about long work; both are called from other threads, too."""

    on_pull: OnPull = field(default=lambda progress: None)
    on_ingest: OnIngest = field(default=lambda name, progress: None)


QUIET = Watch()


@dataclass(frozen=True, kw_only=True)
class Lasting:
    """The parts that a changed configuration does not replace; `take_over` tells them what it says."""

    traces: TraceStore
    access: Access
    limits: Limits
    cache: AnswerCache | None
    responses: ResponseStore | None
    ledger: Ledger
    models: ModelParts
    meter: Meter
    admission: Admission
    knowledge: dict[str, KnowledgeBase]
    sources: dict[str, tuple[Source, ...]]
    jobs: JobStore
    ingestions: IngestionJobs
    embedders: dict[str, Embedder]
    features: Features | None
    gaps: GapStore
    encoder_health: dict[str, Callable[[], EngineHealth]]

    def generation(self, app: str) -> int | None:
        """The generation of the knowledge that an app answers from."""
        return next((base.generation() for base in self.knowledge.values()), None)


class Opening:
    """Opens the parts of a folder one after the other; `stack` closes them again."""

    def __init__(
        self, folder: AppFolder, watch: Watch, stack: AsyncExitStack, coordinator: Path | None = None
    ) -> None:
        """`coordinator` is the socket of the process that counts for the limits, where this is one of several."""
        self._folder = folder
        self._watch = watch
        self._stack = stack
        self._coordinator = coordinator
        self._embedders: dict[str, Embedder] = {}
        self._rerankers: dict[str, Reranker] = {}
        self._health: dict[str, Callable[[], EngineHealth]] = {}
        self._knowledge: dict[str, KnowledgeBase] = {}

    async def open(self) -> Lasting:
        """Raises what a part raises that cannot start."""
        folder, stack = self._folder, self._stack
        settings, data = folder.settings, folder.data
        traces = TraceStore.open(data / "traces.db", settings=recorder_settings(settings))
        stack.callback(traces.close)
        access = open_access(folder)
        stack.push_async_callback(access.close)
        limits = await open_limits(folder, access, stack, self._coordinator)
        semantic = settings.cache.semantic if settings.cache.enabled else None
        compares = await self._embedder(semantic.embedder) if semantic is not None else None
        cache = open_cache(folder, stack, compares)
        responses = ResponseStore(data) if settings.responses.store else None
        if responses is not None:
            stack.callback(responses.close)
        durable = settings.ledger.durability == "power"
        ledger = open_ledger(
            open_database(folder.database, "ledger", durable=durable), data, settings.ledger.durability
        )
        stack.callback(ledger.close)
        await self._open_knowledge()
        models = ModelParts(self._watch.on_pull)
        stack.push_async_callback(models.close)
        jobs = JobStore(data)
        stack.callback(jobs.close)
        gaps = GapStore.open(data, traces)
        stack.callback(gaps.close)
        sources = sources_of(folder)
        return Lasting(
            traces=traces,
            access=access,
            limits=limits,
            cache=cache,
            responses=responses,
            ledger=ledger,
            models=models,
            meter=Meter(),
            admission=Admission(settings.server.max_in_flight),
            knowledge=self._knowledge,
            sources=sources,
            jobs=jobs,
            ingestions=IngestionJobs(jobs, self._knowledge, sources.__getitem__, SYSTEM_CLOCK),
            embedders=self._embedders,
            features=open_features(folder, stack),
            gaps=gaps,
            encoder_health=self._health,
        )

    async def _embedder(self, name: str) -> Embedder:
        """The encoder of that name, started the first time that it is needed."""
        if name not in self._embedders:
            wanted = self._folder.settings.embedder(name)
            encoder = await open_embedder(name, wanted, self._folder.root, self._watch.on_pull)
            self._stack.push_async_callback(encoder.close)
            self._embedders[name] = encoder
            self._health[name] = encoder.health
        return self._embedders[name]

    async def _reranker(self, name: str) -> Reranker:
        """The reranker of that name, started the first time that it is needed."""
        if name not in self._rerankers:
            wanted = self._folder.settings.reranker(name)
            reranker = await open_reranker(name, wanted, self._folder.root, self._watch.on_pull)
            self._stack.push_async_callback(reranker.close)
            self._rerankers[name] = reranker
            self._health[f"rerankers.{name}"] = reranker.health
        return self._rerankers[name]

    async def _open_knowledge(self) -> None:
        for name, settings in self._folder.settings.knowledge.items():
            embedder = await self._embedder(settings.embedder)
            path = self._folder.data / f"knowledge-{name}.db"
            backends = await backends_of(name, settings, embedder)
            if backends.vectors is not None:
                self._stack.push_async_callback(backends.vectors.store.close)
            options = options_of(settings, embedder)
            self._knowledge[name] = KnowledgeBase.open(path, name, embedder, options, backends=backends)
            self._stack.callback(self._knowledge[name].close)
            await self._knowledge[name].generations.follow(name, settings.generation)
            reranker = await self._reranker(settings.reranker) if settings.reranker else None
            self._knowledge[name].use(SearchSettings(vector_weight=settings.vector_weight, reranker=reranker))


def recorder_settings(settings: Settings) -> RecorderSettings:
    return RecorderSettings(content=settings.traces.content)
