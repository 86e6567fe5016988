"""One run over the sources of a knowledge base: list, compare, read, embed, write; then publish.

Everything is written under a generation that nobody sees yet, and one row publishes it at the end. A run that is
killed has lost at most the documents in its hands: the next one finds the rest written and goes on. A source that
fails keeps its documents, and the others go on.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from penstock.clock import Clock
from penstock.errors import PenstockError, Unavailable
from penstock.knowledge.chunking import embedding_text
from penstock.knowledge.executors.base import Executor
from penstock.knowledge.ingestion.documents import DocumentMaker
from penstock.knowledge.ingestion.embedding import Embedding
from penstock.knowledge.ingestion.outcome import Line
from penstock.knowledge.ingestion.plan import Plan, Recipes, Work, needs_all, plan
from penstock.knowledge.ingestion.reading import Reading
from penstock.knowledge.ingestion.records import RULES, RunRules
from penstock.knowledge.ingestion.tally import Tally
from penstock.knowledge.ingestion.writing import PASSAGES, Writing
from penstock.knowledge.sources.base import Listing, Source
from penstock.knowledge.sources.deletion import check_deletions
from penstock.knowledge.sources.folder import FolderSource, nothing_to_read
from penstock.knowledge.sources.removed import RemovedSource
from penstock.knowledge.stores.external.mirror import Mirror
from penstock.knowledge.stores.sqlite import SqliteStore, Wanted
from penstock.knowledge.stores.writes import Closing, LedgerRow, Pending
from penstock.knowledge.values import IngestSummary, KnowledgeOptions, Progress, SourceRemoved
from penstock.seams import Embedder


class RunParts(Struct, frozen=True, kw_only=True):
    """What a run works with. The executor is stopped by whoever made it; `mirror` is for vectors elsewhere."""

    id: str
    store: SqliteStore
    embedder: Embedder
    executor: Executor
    options: KnowledgeOptions
    clock: Clock
    mirror: Mirror | None = None


class Listed(Struct, frozen=True):
    """A source that could be listed, what is known of its documents, and what it has."""

    source: Source
    ledger: Mapping[str, LedgerRow]
    listing: Listing


class Ingestion:
    """One run. Make a new one for each; only one may be at work on a store."""

    def __init__(self, parts: RunParts, progress: Progress) -> None:
        self._parts = parts
        self._store = parts.store
        self._recipes = Recipes(parts.options)
        self._tally = Tally(progress)

    async def run(self, sources: Sequence[Source], rules: RunRules = RULES) -> IngestSummary:
        """Brings the store in line with these sources, and makes one generation if anything changed.

        Raises what a source raises where all of them fail, `ConfigError` where there is nothing to read,
        `StorageFull`, `StorageError`, or what the embedder raises; the published generation stays then. Sources are
        closed, and can be listed again.
        """
        try:
            return await self._run(sources, rules)
        finally:
            for source in sources:
                await source.close()

    async def _run(self, sources: Sequence[Source], rules: RunRules) -> IngestSummary:
        started = time.monotonic()
        pending = await self._store.begin(self._parts.embedder)
        listed = await self._list(sources)
        if not rules.may_be_empty:
            check_something_listed(listed)
        plans = [self._plan(each) for each in listed]
        work = [each for planned in plans for each in planned.work]
        self._tally.report("")
        unsettled = await self._take_in(pending, work) if work else frozenset()
        for each, planned in zip(listed, plans, strict=True):
            await self._remove(pending, each, planned, rules)
        await self._complete_vectors(pending, rules)
        cursors = {
            each.source.name: each.listing.cursor
            for each in listed
            if each.source.name not in unsettled | {problem.source for problem in self._tally.sources}
        }
        closing = Closing(
            cursors=cursors,
            keep=self._parts.options.keep_generations,
            now_us=self._parts.clock.now_us(),
            note=rules.note,
            run=self._parts.id,
        )
        number = await self._publish(pending, closing)
        self._tally.report("")
        return self._tally.summary(number, time.monotonic() - started)

    async def _publish(self, pending: Pending, closing: Closing) -> int:
        """Where vectors are elsewhere, they are there before readers look for them."""
        mirror = self._parts.mirror
        if mirror is None:
            return await self._store.publish(pending, closing)
        await mirror.bring(pending.number)
        number = await self._store.publish(pending, closing)
        await mirror.published(number)
        return number

    async def _list(self, sources: Sequence[Source]) -> list[Listed]:
        """What the sources have. Raises the first error where no other source has, or had, anything."""
        ledgers = [await asyncio.to_thread(self._store.ledger, source.name) for source in sources]
        outcomes = await asyncio.gather(
            *(self._list_one(source, ledger) for source, ledger in zip(sources, ledgers, strict=True))
        )
        listed = [outcome for outcome in outcomes if isinstance(outcome, Listed)]
        failed = [outcome for outcome in outcomes if isinstance(outcome, PenstockError)]
        if failed and not any(each.listing.items or each.ledger for each in listed):
            raise failed[0]
        for source, outcome in zip(sources, outcomes, strict=True):
            if isinstance(outcome, PenstockError):
                self._tally.source(source.name, outcome)
        return listed

    async def _list_one(self, source: Source, ledger: Mapping[str, LedgerRow]) -> Listed | PenstockError:
        try:
            cursor = (
                b""
                if not ledger or needs_all(ledger, self._recipes)
                else await asyncio.to_thread(self._store.cursor, source.name)
            )
            return Listed(source, ledger, await source.list(cursor))
        except PenstockError as error:
            return error

    def _plan(self, listed: Listed) -> Plan:
        listing, tally = listed.listing, self._tally
        tally.total += len(listing.items) + len(listing.problems)
        for problem in listing.problems:
            tally.count(problem.path, problem.status, problem.reason)
        planned = plan(listed.source, listing, listed.ledger, self._recipes, self._parts.options)
        for key, known in zip(planned.keys, planned.unchanged, strict=True):
            tally.unchanged += 1
            tally.count(key, known.status, known.reason)
        if not listing.complete:
            self._count_unlisted(listed, planned)
        if listing.unlisted:
            missing = ", ".join(each or "all of it" for each in listing.unlisted[:3])
            tally.source(
                listed.source.name,
                Unavailable(f"Parts could not be listed ({missing}).", hint="Their documents were kept."),
            )
        return planned

    def _count_unlisted(self, listed: Listed, planned: Plan) -> None:
        """Documents that a listing of changes does not name are what they were."""
        named = {item.key for item in listed.listing.items} | planned.gone
        for key, known in listed.ledger.items():
            if key not in named:
                self._tally.total += 1
                self._tally.unchanged += 1
                self._tally.count(key, known.status, known.reason)

    async def _take_in(self, pending: Pending, work: Sequence[Work]) -> frozenset[str]:
        """Reads in one task, puts together, embeds and writes in others; the first error ends all.

        Returns the sources of which something is to be tried again.
        """
        parts, line = self._parts, Line()
        embedding = Embedding(self._store, parts.executor, parts.embedder, pending, self._tally)
        writing = Writing(self._store, pending, DocumentMaker(self._recipes, parts.clock), embedding, self._tally)
        with tempfile.TemporaryDirectory(prefix="penstock-") as scratch:
            reading = Reading(self._store, parts.executor, self._recipes, parts.options, Path(scratch))
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(reading.run(pending, work, line, self._tally))
                    tasks.create_task(writing.collect(line))
                    tasks.create_task(writing.embed())
                    tasks.create_task(writing.write())
            except ExceptionGroup as group:
                ours = next((error for error in group.exceptions if isinstance(error, PenstockError)), None)
                raise (ours or group.exceptions[0]) from None
            finally:
                await line.close()
        return frozenset(writing.unsettled)

    async def _remove(self, pending: Pending, listed: Listed, planned: Plan, rules: RunRules) -> None:
        """Takes out what is gone, unless that is more than one run may delete."""
        source, ledger = listed.source, listed.ledger
        try:
            if not rules.allow_delete:
                check_deletions(source.name, len(ledger), len(planned.gone), source.max_delete)
        except PenstockError as error:
            self._tally.source(source.name, error)
            return
        if planned.gone:
            await self._store.remove(pending, [ledger[key].row for key in sorted(planned.gone)])
            self._tally.removed += len(planned.gone)
            if isinstance(source, RemovedSource):
                self._tally.removed_sources.append(SourceRemoved(source.name, len(planned.gone)))

    async def _complete_vectors(self, pending: Pending, rules: RunRules) -> None:
        """Embeds what lacks a vector of this embedder: everything after a change of it, so that one generation
        never mixes two."""
        published = await asyncio.to_thread(self._store.newest)
        same = published.fingerprint == self._parts.embedder.fingerprint
        wanted: Wanted = "all" if rules.completes else "new" if same else "live"
        embedding = Embedding(self._store, self._parts.executor, self._parts.embedder, pending, self._tally)
        row = 0
        while missing := await asyncio.to_thread(self._store.chunks_without_vector, pending, wanted, row, PASSAGES):
            row = missing[-1].row
            inputs = {chunk.digest: embedding_text(chunk.heading, chunk.text) for chunk in missing}
            vectors = await embedding.vectors(inputs)
            await self._store.keep_vectors(pending, vectors)
            embedding.written(vectors)


def check_something_listed(listed: Sequence[Listed]) -> None:
    """Raises `ConfigError` where a folder is empty and nothing comes from elsewhere: its disk may not be there."""
    for each in listed:
        if each.listing.items or each.listing.unlisted or not each.listing.complete:
            return
    for each in listed:
        if isinstance(each.source, FolderSource):
            raise nothing_to_read(each.source.sources, each.listing)
