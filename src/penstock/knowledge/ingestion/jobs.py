"""Runs that outlive their server: each is a durable job, done by the one process of a folder that does jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.exchange import LOCAL_PROJECT
from penstock.ids import new_id
from penstock.jobs import repository
from penstock.jobs.store import JobStore
from penstock.jobs.values import Job
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.ingestion.records import OVER, RULES, Run, RunOptions, RunRules, Trigger
from penstock.knowledge.sources.base import Source
from penstock.knowledge.values import Sources

KIND = "ingestion"
SOON_US = 1_000_000
PATIENCE_US = 60_000_000
"""How long after its job a run may be written down: the two are in different files."""

SourcesOf = Callable[[str], Sources | Sequence[Source]]


class IngestionJobs:
    """Runs of all knowledge bases of a server."""

    def __init__(
        self,
        store: JobStore,
        bases: Mapping[str, KnowledgeBase],
        sources: SourcesOf,
        clock: Clock,
    ) -> None:
        self._store = store
        self._bases = bases
        self._sources = sources
        self._clock = clock
        self._wake: Callable[[], None] = nobody

    def sources(self, name: str) -> Sources | Sequence[Source]:
        """Where a knowledge base takes its documents from, as a repair reads them again."""
        return self._sources(name)

    def tells(self, wake: Callable[[], None]) -> None:
        """Whom to tell that there is one; who does jobs also looks by himself, once a second."""
        self._wake = wake

    async def submit(self, name: str, trigger: Trigger, rules: RunRules = RULES) -> Run:
        """A run that is done soon, and after a kill again. One that waits for the same is joined.

        Raises `StorageFull` or `StorageError`.
        """
        runs = self._bases[name].runs
        if (waiting := await runs.queued(rules)) is not None:
            return waiting
        job = Job(id=new_id("run"), kind=KIND, project_id=LOCAL_PROJECT, created_us=self._clock.now_us(), due_us=0)
        await self._store.write(partial(repository.add, job=job))
        run = await runs.add(trigger, RunOptions(rules, durable=True), job.id)
        self._wake()
        return run

    async def work(self, job: Job) -> None:
        """Does a run, or goes on with one; what it came to stands in its row."""
        for name, base in self._bases.items():
            run = await base.runs.find(job.id)
            if run is None:
                continue
            if run.state not in OVER:
                try:
                    await base.resume(run.id, self._sources(name))
                except PenstockError:
                    if (await base.runs.get(run.id)).state not in OVER:
                        raise
            await self._store.write(partial(repository.remove, id=job.id))
            return
        now = self._clock.now_us()
        if now - job.created_us > PATIENCE_US:
            await self._store.write(partial(repository.remove, id=job.id))
        else:
            await self._store.write(partial(repository.later, id=job.id, due_us=now + SOON_US))


def nobody() -> None:
    """Where nobody is told."""
