"""A site whose knowledge has a past: two more generations, a source that fails, a document for few, and gaps."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.clock import SYSTEM_CLOCK
from penstock.config import KnowledgeSettings
from penstock.config.sources import WebSettings
from penstock.errors import Unavailable
from penstock.gateway.services import Services
from penstock.jobs.store import JobStore
from penstock.jobs.worker import Worker
from penstock.knowledge.base import KnowledgeBase, Query, Sources
from penstock.knowledge.gaps.service import Gaps
from penstock.knowledge.gaps.store import GapStore
from penstock.knowledge.gaps.values import Judge, Verdict
from penstock.knowledge.ingestion.jobs import KIND, IngestionJobs
from penstock.knowledge.sources.base import Item, Listing, Source
from penstock.knowledge.sources.folder import FolderSource
from penstock.knowledge.sources.pushed import PushedDocument
from penstock.knowledge.values import Reader
from penstock.testing import FakeEmbedder
from support.console_site import GUIDE, open_site

SECRET = "The engineer of the dam is paid nine thousand francs."
PAY = PushedDocument(
    key="hr/pay.md",
    data=f"# Pay\n\n{SECRET}".encode(),
    url="https://intra.example/pay",
    metadata={"team": "hr", "year": 2026},
    readers=("group:hr",),
)
MANUAL = PushedDocument(
    key="notes/keys.txt", data=b"The spare key hangs in the office.", metadata={"team": "plant"}
)


class FailingSource:
    """A source that cannot be listed."""

    name = "web.handbook"
    max_delete = 0.2

    async def list(self, cursor: bytes) -> Listing:
        raise Unavailable("handbook.example cannot be reached.", hint="Try again later.")

    async def fetch(self, item: Item, folder: Path) -> Path:
        raise AssertionError("nothing was listed")

    async def close(self) -> None:
        pass


def judge_of(base: KnowledgeBase) -> Judge:
    """Answered is what a passage holds most words of."""

    async def judge(question: str, reader: Reader) -> Verdict:
        found = await base.search(Query(text=question, reader=reader, limit=1, mode="text"))
        return Verdict(bool(found.hits) and found.hits[0].score > 0.8, found.generation)

    return judge


@asynccontextmanager
async def open_knowledge_site(folder: Path) -> AsyncIterator[Services]:
    """`generation` 1 is that of `open_site`; 2 has a changed, a new and a deleted file, 3 two pushed documents."""
    async with open_site(folder) as services:
        base = services.knowledge["manuals"]
        docs = folder / "docs"
        (docs / "guide/gate.md").write_text(f"{GUIDE}\n## Painting it\n\nThe gate is painted every ten years.\n")
        (docs / "guide/weir.md").write_text("# The weir\n\nThe weir was built of granite.\n")
        (docs / "guide/turbines.md").unlink()
        sources: tuple[Source, ...] = (FolderSource(Sources(docs)), FailingSource())
        await base.ingest(sources, trigger="cli")
        await base.push([PAY, MANUAL])
        jobs, gaps = JobStore(folder), GapStore.open(folder, services.traces)
        ingestions = IngestionJobs(jobs, services.knowledge, lambda name: sources, SYSTEM_CLOCK)
        worker = Worker(jobs, {KIND: ingestions.work})
        ingestions.tells(worker.wake)
        working = asyncio.create_task(worker.run())
        yield dataclasses.replace(
            services,
            settings=services.settings.model_copy(update={"knowledge": {"manuals": settings()}}),
            ingestions=ingestions,
            gaps=Gaps(gaps, FakeEmbedder(), judge_of(base), days=30),
        )
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        gaps.close()
        jobs.close()


def settings() -> KnowledgeSettings:
    handbook = WebSettings(urls=("https://handbook.example/",), schedule="0 3 * * *", readers=("group:hr",))
    return KnowledgeSettings(
        sources=("docs/**/*",), max_file_mb=1.0, watch=True, web={"handbook": handbook}, metadata={"site": "dam"}
    )
