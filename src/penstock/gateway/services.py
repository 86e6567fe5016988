"""Everything that a request handler may use, built once by the platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from penstock.access.ledger import Ledger
from penstock.access.limits import Limits
from penstock.access.principal import permits
from penstock.access.store import Access
from penstock.config import Settings
from penstock.config.differences import Difference
from penstock.errors import NotFound
from penstock.exchange import LOCAL_PROJECT, Principal
from penstock.gateway.admission import Admission
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline
from penstock.gateway.registry import Registry
from penstock.gateway.responses.store import ResponseStore
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.gaps.service import Gaps
from penstock.knowledge.ingestion.jobs import IngestionJobs
from penstock.seams import Embedder, Engine, EngineHealth
from penstock.traces.store import TraceStore

Tell = Callable[[tuple[Difference, ...]], Awaitable[None]]


class Configuration(Protocol):
    """The running configuration, and the file that it came from."""

    @property
    def loaded_us(self) -> int:
        """When it was read, UTC microseconds."""
        ...

    async def differences(self) -> tuple[Difference, ...]:
        """What the file says now that is not running. Raises `ConfigError` for a file that is wrong."""
        ...

    async def reload(self, tell: Tell) -> tuple[Difference, ...]:
        """Takes the file over for all requests from now on, once `tell` has returned.

        Raises `ConfigError` where the file is wrong or needs a restart: then all goes on as it was.
        """
        ...


class Degraded(Struct, frozen=True):
    """A part that fails while others do its work: why, without secrets, and what to do."""

    name: str
    reason: str
    hint: str


class Peers(Protocol):
    """The other processes that serve the same app."""

    async def ask(self, what: str) -> Mapping[int, bytes]:
        """What each of them says, by its number; one that does not answer is left out."""
        ...


@dataclass(frozen=True)
class Services:
    """The parts of a running Penstock. Handlers find it at `request.app.state.services`.

    `ingestions` take documents in while they are served; `None` where nobody asks for it.
    `health` are the parts that must be ready before requests are answered, by name; `meter` counts for /metrics.
    `limits` is `None` where nothing can be limited, `cache` where it is off, `responses` and `ledger` where none
    are kept. `configuration` is `None` where none is read from a file,
    `peers` where this process is the only one that serves.
    """

    app_name: str
    settings: Settings
    pipeline: Pipeline
    registry: Registry
    traces: TraceStore
    knowledge: Mapping[str, KnowledgeBase] = field(default_factory=dict)
    ingestions: IngestionJobs | None = None
    gaps: Gaps | None = None
    engines: Mapping[str, Engine] = field(default_factory=dict)
    embedders: Mapping[str, Embedder] = field(default_factory=dict)
    health: Mapping[str, Callable[[], EngineHealth]] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)
    access: Access | None = None
    limits: Limits | None = None
    cache: AnswerCache | None = None
    responses: ResponseStore | None = None
    ledger: Ledger | None = None
    admission: Admission | None = None
    configuration: Configuration | None = None
    peers: Peers | None = None

    def degraded(self) -> tuple[Degraded, ...]:
        """The vector databases that do not answer: searches go on in the knowledge's own file."""
        return tuple(
            Degraded(
                name=f"knowledge.{name}",
                reason=base.mirror.trouble.message,
                hint=f"{base.mirror.trouble.hint} Searches go on in the knowledge's own file; runs fail.".strip(),
            )
            for name, base in self.knowledge.items()
            if base.mirror is not None and base.mirror.trouble is not None
        )

    def readable(self, principal: Principal) -> Mapping[str, KnowledgeBase]:
        """The knowledge that a principal may read: its app's, where the app is open to the principal's project."""
        own = principal.project_id == LOCAL_PROJECT
        shared = self.settings.app.projects
        return self.knowledge if own or (shared and permits(shared, principal.project_id)) else {}

    def knowledge_of(self, principal: Principal, name: str) -> KnowledgeBase:
        """The knowledge of that name. Raises `NotFound` also for one that is not for the principal."""
        readable = self.readable(principal)
        base = readable.get(name)
        if base is None:
            known = ", ".join(readable) or "none"
            raise NotFound(f"There is no knowledge {name[:80]!r}.", hint=f"There is: {known}.", param="name")
        return base

    def gaps_found(self) -> Gaps:
        """What was asked in vain. Raises `NotFound` where no app answers from documents."""
        if self.gaps is None:
            raise NotFound(
                "There is no app that answers from documents here.", hint="Add [knowledge.docs] to its file."
            )
        return self.gaps
