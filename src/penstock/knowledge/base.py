"""A knowledge base: documents taken in from files, and the passages in them that answer a question.

    base = KnowledgeBase.open(folder / "knowledge-docs.db", "docs", embedder)
    await base.ingest(Sources(Path("docs")))
    result = await base.search(Query(text="How do I start it?", reader=EVERYTHING))

Readers always see one published generation, whole; a run publishes the next one at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import InvalidRequest
from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.executors.base import ExecutorFactory
from penstock.knowledge.executors.process import ProcessExecutor
from penstock.knowledge.generations import Generations
from penstock.knowledge.ingestion.log import RunLog
from penstock.knowledge.ingestion.records import RULES, RunOptions, RunRules, Trigger
from penstock.knowledge.ingestion.run import Ingestion, RunParts
from penstock.knowledge.ingestion.turn import Turn
from penstock.knowledge.inspection import Inspection
from penstock.knowledge.search import Searcher, SearchSettings
from penstock.knowledge.sources import uploads
from penstock.knowledge.sources.base import Source
from penstock.knowledge.sources.folder import FolderSource
from penstock.knowledge.sources.pushed import PushedDocument, PushedSource, checked
from penstock.knowledge.sources.removed import RemovedSource
from penstock.knowledge.sources.uploads import UploadsSource
from penstock.knowledge.stores.external.mirror import Elsewhere, Mirror
from penstock.knowledge.stores.external.mirrored import MirroredVectors
from penstock.knowledge.stores.pushed import PushedStore
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors.embedded import EmbeddedVectors
from penstock.knowledge.stores.vectors.index import IndexStats
from penstock.knowledge.values import (
    EVERYTHING,
    Document,
    DocumentRow,
    FileProblem,
    Heading,
    Hit,
    IngestProgress,
    IngestSummary,
    KnowledgeCounts,
    KnowledgeOptions,
    Progress,
    Query,
    Reader,
    SearchResult,
    Sources,
    Status,
    ignore_progress,
)
from penstock.knowledge.verify import Checking, Tell, Verification, Verifier, untold
from penstock.seams import Embedder, Tracer

__all__ = [
    "EVERYTHING",
    "Backends",
    "Document",
    "DocumentRow",
    "FileProblem",
    "Heading",
    "Hit",
    "IndexStats",
    "IngestProgress",
    "IngestSummary",
    "KnowledgeBase",
    "KnowledgeCounts",
    "KnowledgeOptions",
    "Progress",
    "Query",
    "Reader",
    "SearchResult",
    "Sources",
    "Status",
]

DEFAULT_OPTIONS = KnowledgeOptions()
REPAIR = RunRules(may_be_empty=True, completes=True, note="repaired")
UPLOADS_ONLY = RunRules(allow_delete=True, may_be_empty=True)


class Backends(Struct, frozen=True):
    """Who reads and embeds, and where vectors are searched: `None` is in the knowledge's own file."""

    executor: ExecutorFactory = ProcessExecutor
    vectors: Elsewhere | None = None


HERE = Backends()


class BaseSettings(Struct, frozen=True):
    """How files are read, where uploaded ones are kept, what time it is, and what else takes part."""

    options: KnowledgeOptions
    uploads: Path
    clock: Clock
    backends: Backends = HERE


class KnowledgeBase:
    """The documents of one name, kept in one file. Make it with `open`; the embedder stays the caller's."""

    def __init__(self, name: str, store: SqliteStore, embedder: Embedder, settings: BaseSettings) -> None:
        self.name = name
        self._store = store
        self._embedder = embedder
        self._options = settings.options
        self._uploads = settings.uploads
        self._pushed = PushedStore(store.database, store.project_id)
        self._clock = settings.clock
        self._executor = settings.backends.executor
        vectors = EmbeddedVectors(store)
        there = settings.backends.vectors
        self.mirror = None if there is None else Mirror(store, there, embedder.fingerprint)
        mirrored = vectors if self.mirror is None else MirroredVectors(vectors, self.mirror)
        self._searcher = Searcher(store, embedder, mirrored)
        self._turn = Turn(store.path)
        self.runs = RunLog(store, settings.clock)
        self.generations = Generations(store)
        self.inspection = Inspection(store, embedder)
        self._verifier = Verifier(store, self.mirror)
        self._tell: Callable[[], None] = nobody

    @classmethod
    def open(
        cls,
        path: Path,
        name: str,
        embedder: Embedder,
        options: KnowledgeOptions = DEFAULT_OPTIONS,
        *,
        project_id: str = LOCAL_PROJECT,
        clock: Clock = SYSTEM_CLOCK,
        backends: Backends = HERE,
    ) -> KnowledgeBase:
        """Opens the file at `path`, or makes it; uploaded files lie beside it in `uploads/NAME/`.

        Raises `StorageError` where it is no database, or one of a newer version.
        """
        settings = BaseSettings(options, path.parent / "uploads" / name, clock, backends)
        return cls(name, SqliteStore(path, project_id), embedder, settings)

    def close(self) -> None:
        """Commits what waits and closes the file."""
        self._searcher.close()
        self._store.close()

    async def ingest(
        self,
        sources: Sources | Sequence[Source],
        *,
        progress: Progress = ignore_progress,
        rules: RunRules = RULES,
        trigger: Trigger = "api",
    ) -> IngestSummary:
        """Brings the knowledge in line with its sources and the uploaded files, and publishes one generation.

        Documents of a source that is not among these are removed. What did not change costs nothing. One run at a
        time: a second waits for the first. Raises `ConfigError` where there is nothing to read, `StorageFull`, or
        what a source or the embedder raises; readers keep what they had.
        """
        async with self._turn.taken():
            return await self._run_now(trigger, await self._sources_now(sources, rules), progress, rules)

    async def resume(
        self, run_id: str, sources: Sources | Sequence[Source], *, progress: Progress = ignore_progress
    ) -> IngestSummary:
        """Does a run that was asked for, or goes on with one that was killed. Raises what `ingest` does, and
        `Conflict` for one that was cancelled."""
        rules = (await self.runs.options(run_id)).rules
        async with self._turn.taken():
            return await self._run(run_id, await self._sources_now(sources, rules), progress, rules)

    async def add_file(self, name: str, data: bytes, *, progress: Progress = ignore_progress) -> DocumentRow:
        """Keeps a file under its name, in place of an earlier one of that name, and takes it in.

        The row that comes back has a status like any other: a file that could not be read is kept, too.
        Raises `InvalidRequest` for a name or a kind that is not taken, `BodyTooLarge` for too much.
        """
        name = uploads.checked_name(name)
        uploads.check_size(name, len(data), self._options.max_file_bytes)
        async with self._turn.taken():
            await asyncio.to_thread(uploads.write, self._uploads, name, data)
            generation = await self._take_in_uploads(progress)
        rows = self._documents(generation, EVERYTHING)
        return next(row for row in rows if row.uploaded and row.path == name)

    async def push(self, documents: Sequence[PushedDocument]) -> list[DocumentRow]:
        """Keeps documents under their keys, each in place of an earlier one of its key, and takes them in.

        The rows come in the order of the documents, each with a status like any other. Sending the same once more
        changes nothing. Raises `InvalidRequest` or `BodyTooLarge`, and keeps none of them then.
        """
        limit = self._options.max_file_bytes
        rows = await asyncio.to_thread(checked, documents, limit, self._clock.now_us())
        async with self._turn.taken():
            await self._pushed.put(rows)
            generation = await self._take_in_pushed()
        taken = self._documents(generation, EVERYTHING)
        found = {row.path: row for row in taken if row.source == PushedSource.name}
        return [found[row.key] for row, _ in rows]

    async def remove_document(self, document_id: str) -> None:
        """Deletes a document that was dropped in or pushed, and takes it out.

        Raises `NotFound`, or `InvalidRequest` for one of another source.
        """
        row = self.document(document_id, EVERYTHING).row
        if row.source == PushedSource.name:
            async with self._turn.taken():
                await self._pushed.delete(row.path)
                await self._take_in_pushed()
            return
        if not row.uploaded:
            raise InvalidRequest(
                f"{row.path!r} is a file of the app's folder.", hint="Delete the file itself, then ingest again."
            )
        async with self._turn.taken():
            await asyncio.to_thread(uploads.delete, self._uploads, row.path)
            await self._take_in_uploads(ignore_progress)

    async def verify(
        self, repair_from: Sources | Sequence[Source] | None = None, tell: Tell = untold
    ) -> Verification:
        """Whether everything still is what was written; searches go on, and runs wait. With `repair_from`, the
        sources of the documents, what differs is put right: only what was damaged is read again. `tell` is called
        from another thread. Raises what `ingest` does."""
        tell(Checking("waiting"))
        async with self._turn.taken():
            if repair_from is None:
                return await self._verifier.check(tell)
            given = await self._sources_now(repair_from, REPAIR)

            def reading(at: IngestProgress) -> None:
                tell(Checking("repair", at.done, at.total))

            async def take_in() -> None:
                await self._run_now("api", given, reading, REPAIR)

            return await self._verifier.repair(take_in, self._searcher.forget, tell)

    def content_hash(self, generation: int | None = None) -> str:
        """What two runs over the same files agree on, of a generation; by default of the newest."""
        return self._verifier.content_hash(generation)

    async def search(self, query: Query, tracer: Tracer | None = None) -> SearchResult:
        """The passages that fit a question best, of documents that its reader may find and that its filter means.

        Records the spans `embed` and `search` where a tracer is given. Raises `NotFound` for a generation that
        is no longer kept.
        """
        return await self._searcher.search(query, tracer)

    def warm(self) -> None:
        """Loads the vectors, so that the first question need not wait for them."""
        self._searcher.warm()

    def index(self, reader: Reader) -> IndexStats | None:
        """How the vectors are searched; `None` while none are in memory, and for who may not find everything:
        its numbers are of all passages."""
        return self._searcher.stats() if reader.tags is None else None

    def use(self, settings: SearchSettings) -> None:
        """How searches go from now on, where a query does not say."""
        self._searcher.use(settings)

    def read_as(self, options: KnowledgeOptions) -> None:
        """How documents are read and cut from the next run on."""
        self._options = options

    def tells(self, changed: Callable[[], None]) -> None:
        """Whom to tell, in the loop that runs it, that readers see another generation."""
        self._tell = changed

    def generation(self) -> int:
        """The number of the published generation, 0 before the first."""
        return self._store.published().number

    def documents(self, reader: Reader) -> list[DocumentRow]:
        """The documents of the published generation by path, those that could not be read among them."""
        return self._documents(self.generation(), reader)

    def document(self, document_id: str, reader: Reader) -> Document:
        """One document with its text, of any generation that is kept.

        Raises `NotFound`, and the same for one that is not for the reader.
        """
        with self._store.database.read() as connection:
            return SqliteReader(connection, self._store.project_id).document(document_id, reader)

    def texts(self, ranges: Sequence[tuple[str, int, int]], reader: Reader) -> list[str]:
        """The text of each range (document id, first character, end), to check quotes by; "" for a document that
        is gone, or not for the reader."""
        with self._store.database.read() as connection:
            stored = SqliteReader(connection, self._store.project_id)
            return [stored.text_between(*each, reader) for each in ranges]

    @property
    def has_parents(self) -> bool:
        """Whether its passages are parts of larger ones, which are to be read in their place."""
        return self._options.chunking.strategy == "parents"

    def siblings_at(self, places: Sequence[tuple[str, int]]) -> list[tuple[str, int | None, str] | None]:
        """For a passage's id and a character of its parent: the id, page and location of the passage there."""
        with self._store.database.read() as connection:
            stored = SqliteReader(connection, self._store.project_id)
            return [stored.sibling_at(*place) for place in places]

    def counts(self, reader: Reader) -> KnowledgeCounts:
        """What the published generation holds for the reader."""
        with self._store.database.read() as connection:
            stored = SqliteReader(connection, self._store.project_id)
            return stored.counts(stored.published().number, reader)

    def all_sources(self, given: Sources | Sequence[Source]) -> tuple[Source, ...]:
        """These, and those that every knowledge base has."""
        own = (UploadsSource(self._uploads), PushedSource(self._pushed))
        return (FolderSource(given), *own) if isinstance(given, Sources) else (*given, *own)

    async def _sources_now(self, given: Sources | Sequence[Source], rules: RunRules) -> tuple[Source, ...]:
        """All sources, and those that documents are left of and that are no longer among them; or those that the
        rules name."""
        sources = self.all_sources(given)
        if rules.sources:
            return tuple(source for source in sources if source.name in rules.sources)
        left = await asyncio.to_thread(self._store.sources) - {source.name for source in sources}
        return (*sources, *(RemovedSource(name) for name in sorted(left)))

    def _documents(self, generation: int, reader: Reader) -> list[DocumentRow]:
        with self._store.database.read() as connection:
            return SqliteReader(connection, self._store.project_id).documents(generation, reader)

    async def _take_in_uploads(self, progress: Progress) -> int:
        """The generation that has them, which readers may not see: theirs may be kept at an earlier one."""
        uploaded = (UploadsSource(self._uploads),)
        return (await self._run_now("upload", uploaded, progress, UPLOADS_ONLY)).generation

    async def _take_in_pushed(self) -> int:
        """Likewise."""
        pushed = (PushedSource(self._pushed),)
        return (await self._run_now("push", pushed, ignore_progress, UPLOADS_ONLY)).generation

    async def _run_now(
        self, trigger: Trigger, sources: Sequence[Source], progress: Progress, rules: RunRules
    ) -> IngestSummary:
        """A run that ends with whoever waits for it: noted when its turn has come, so that none stays queued."""
        run = await self.runs.add(trigger, RunOptions(rules, durable=False))
        return await self._run(run.id, sources, progress, rules)

    async def _run(
        self, run_id: str, sources: Sequence[Source], progress: Progress, rules: RunRules
    ) -> IngestSummary:
        async def doing(note: Progress) -> IngestSummary:
            executor = self._executor(self._embedder, self._options)
            parts = RunParts(
                id=run_id,
                store=self._store,
                embedder=self._embedder,
                executor=executor,
                options=self._options,
                clock=self._clock,
                mirror=self.mirror,
            )
            try:
                return await Ingestion(parts, note).run(sources, rules)
            finally:
                await executor.stop()

        before = self.generation()
        summary = await self.runs.work(run_id, doing, progress)
        await asyncio.to_thread(self._searcher.warm)
        if self.generation() != before:
            self._tell()
        return summary


def nobody() -> None:
    """Where nobody is told."""
