"""One run over the files of a knowledge base: find, hash, load, chunk, embed, write; then publish.

Reading (in its own process) and embedding (in its own) overlap, so that both cores work; what waits between
them is bounded. Everything is written under a generation that nobody sees yet, each document in one
transaction, and one row publishes it at the end. A run that is killed has lost at most the documents in its
hands: the next one finds the rest written and goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from penstock.clock import Clock
from penstock.errors import EngineStopped, PenstockError
from penstock.ids import new_id
from penstock.knowledge.chunking import embedding_text
from penstock.knowledge.find import FoundFile, Listing
from penstock.knowledge.loaders.messages import ReadRequest, ReadResult
from penstock.knowledge.loaders.process import FileReader
from penstock.knowledge.stores.reader import Marks
from penstock.knowledge.stores.records import LedgerRow, NewChunk, NewDocument, Pending
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.terms import UNSPACED, words
from penstock.knowledge.values import (
    FileProblem,
    IngestProgress,
    IngestSummary,
    KnowledgeOptions,
    Progress,
    Stat,
    Status,
)
from penstock.seams import Embedder, Embeddings

RECIPE = 1
"""Raise it when loaders or chunking change what they make of a file, so that files are read again."""

BATCH = 256
"""Passages embedded at once, from as many documents as it takes."""

AHEAD_CHARACTERS = 8_000_000
"""Text read ahead of the encoder; a longer document waits alone."""

RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again without its times showing it."""

PASSING: frozenset[Status] = frozenset(("timeout", "unreadable"))
"""Failures that may pass by themselves: they are tried again in every run."""


class ReadFile(msgspec.Struct, frozen=True):
    """A file, what was known of it, and what came of reading it."""

    source: str
    file: FoundFile
    known: LedgerRow | None
    result: ReadResult


class Backlog:
    """What was read and not yet written: bounded by its text, so that many small files wait together."""

    def __init__(self) -> None:
        self._items: deque[ReadFile | None] = deque()
        self._characters = 0
        self._changed = asyncio.Condition()

    @property
    def empty(self) -> bool:
        return not self._items

    async def put(self, item: ReadFile | None) -> None:
        """Adds a file, or `None` for the end; waits while there is too much."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._characters < AHEAD_CHARACTERS)
            self._items.append(item)
            self._characters += weight(item)
            self._changed.notify_all()

    async def get(self) -> ReadFile | None:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            item = self._items.popleft()
            self._characters -= weight(item)
            self._changed.notify_all()
            return item


def weight(item: ReadFile | None) -> int:
    return 0 if item is None else len(item.result.text) + 1000


class Tally:
    """What a run has done so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.total = self.done = 0
        self.added = self.changed = self.unchanged = self.removed = 0
        self.chunks = self.embedded = 0
        self.statuses: dict[str, int] = {}
        self.problems: list[FileProblem] = []

    def count(self, path: str, status: Status, reason: str) -> None:
        """Notes how a file ended."""
        self.done += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status != "ok":
            self.problems.append(FileProblem(path, status, reason))

    def report(self, current: str) -> None:
        self._progress(
            IngestProgress(total=self.total, done=self.done, current=current, chunks=self.chunks + self.embedded)
        )

    def summary(self, generation: int, seconds: float) -> IngestSummary:
        return IngestSummary(
            generation=generation,
            added=self.added,
            changed=self.changed,
            unchanged=self.unchanged,
            removed=self.removed,
            chunks=self.chunks,
            embedded=self.embedded,
            statuses=dict(sorted(self.statuses.items())),
            problems=tuple(self.problems),
            seconds=seconds,
        )


class Ingestion:
    """One run. Make a new one for each; only one may be at work on a store."""

    def __init__(self, store: SqliteStore, embedder: Embedder, options: KnowledgeOptions, clock: Clock) -> None:
        self._store = store
        self._embedder = embedder
        self._options = options
        self._clock = clock
        self._recipe = f"{RECIPE}:{options.chunking.recipe}"

    async def run(self, listings: Mapping[str, Listing], progress: Progress) -> IngestSummary:
        """Brings the store in line with these listings, by source, and publishes one generation.

        Raises `StorageFull`, `StorageError` or what the embedder raises; the published generation stays then.
        """
        started = time.monotonic()
        tally = Tally(progress)
        pending = await self._store.begin(self._embedder)
        work: list[tuple[str, FoundFile, LedgerRow | None]] = []
        for source, listing in listings.items():
            ledger = await asyncio.to_thread(self._store.ledger, source)
            tally.total += len(listing.files) + len(listing.problems)
            for problem in listing.problems:
                tally.count(problem.path, problem.status, problem.reason)
            work.extend((source, file, known) for file, known in self._to_read(listing, ledger, tally))
            await self._remove(pending, listing, ledger, tally)
        tally.report("")
        if work:
            await self._read_and_write(pending, work, tally)
        await self._complete_vectors(pending, tally)
        number = await self._store.publish(pending, self._clock.now_us(), self._options.keep_generations)
        return tally.summary(number, time.monotonic() - started)

    def _to_read(
        self, listing: Listing, ledger: Mapping[str, LedgerRow], tally: Tally
    ) -> list[tuple[FoundFile, LedgerRow | None]]:
        """The files that may have changed; the others are counted and done with."""
        work: list[tuple[FoundFile, LedgerRow | None]] = []
        for file in listing.files:
            known = ledger.get(file.path)
            if (
                known is not None
                and known.stat == file.stat
                and known.recipe == self._recipe
                and known.status not in PASSING
                and (known.status != "too_large" or file.stat.size > self._options.max_file_bytes)
            ):
                tally.unchanged += 1
                tally.count(file.path, known.status, known.reason)
            else:
                work.append((file, known))
        return work

    async def _remove(
        self, pending: Pending, listing: Listing, ledger: Mapping[str, LedgerRow], tally: Tally
    ) -> None:
        found = {file.path for file in listing.files}
        gone = [row.row for path, row in ledger.items() if path not in found and listing.covers(path)]
        if gone:
            await self._store.remove(pending, gone)
            tally.removed += len(gone)

    async def _read_and_write(
        self, pending: Pending, work: Sequence[tuple[str, FoundFile, LedgerRow | None]], tally: Tally
    ) -> None:
        """Reads in one task and embeds and writes in another; the first error ends both."""
        backlog = Backlog()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_all(work, backlog, tally))
                tasks.create_task(self._write_all(pending, backlog, tally))
        except ExceptionGroup as group:
            ours = next((error for error in group.exceptions if isinstance(error, PenstockError)), None)
            raise (ours or group.exceptions[0]) from None

    async def _read_all(
        self,
        work: Sequence[tuple[str, FoundFile, LedgerRow | None]],
        backlog: Backlog,
        tally: Tally,
    ) -> None:
        reader = FileReader(self._options)
        try:
            for source, file, known in work:
                tally.report(file.path)
                unread = known is None or known.recipe != self._recipe or known.status in PASSING
                result = await reader.read(
                    ReadRequest(
                        path=file.location,
                        kind=file.kind,
                        chunking=self._options.chunking,
                        known_digest="" if known is None or unread else known.digest,
                    )
                )
                await backlog.put(ReadFile(source, file, known, result))
            await backlog.put(None)
        finally:
            await reader.stop()

    async def _write_all(self, pending: Pending, backlog: Backlog, tally: Tally) -> None:
        batch: list[tuple[ReadFile, NewDocument]] = []
        touched: list[tuple[int, Stat]] = []
        passages = 0
        while (read := await backlog.get()) is not None:
            if read.result.unchanged and read.known is not None:
                tally.unchanged += 1
                tally.count(read.file.path, read.known.status, read.known.reason)
                touched.append((read.known.row, self._trusted(read.result.stat or read.file.stat)))
            elif keeps_known(read):
                tally.count(read.file.path, read.result.status, read.result.reason)
            else:
                document = await asyncio.to_thread(self._document, read)
                batch.append((read, document))
                passages += len(document.chunks)
            if batch and (passages >= BATCH or backlog.empty):
                await self._write(pending, batch, tally)
                batch, passages = [], 0
        await self._write(pending, batch, tally)
        if touched:
            await self._store.touch(touched)

    def _trusted(self, stat: Stat) -> Stat:
        racy = self._clock.now_us() * 1000 - stat.mtime_ns < RACY_NS
        return msgspec.structs.replace(stat, inode=0) if racy else stat

    def _document(self, read: ReadFile) -> NewDocument:
        file, result = read.file, read.result
        chunks = []
        for passage in result.passages:
            body = result.text[passage.start : passage.end]
            chunks.append(
                NewChunk(
                    start=passage.start,
                    end=passage.end,
                    page=passage.page,
                    heading=passage.heading,
                    text=body,
                    digest=hashlib.sha256(embedding_text(passage.heading, body).encode()).digest(),
                    terms=" ".join(words(body)) if UNSPACED.search(body) else None,
                )
            )
        return NewDocument(
            id=new_id("doc"),
            source=read.source,
            path=file.path,
            title=result.title or file.path.rpartition("/")[2].rpartition(".")[0] or file.path,
            kind=file.kind,
            status=result.status,
            reason=result.reason,
            recipe=self._recipe,
            digest=result.digest,
            stat=self._trusted(result.stat or file.stat),
            pages=len(result.page_starts) or None,
            marks=msgspec.msgpack.encode(Marks(result.headings, result.page_starts)),
            text=result.text,
            chunks=tuple(chunks),
            loaded_at=self._clock.now_us(),
        )

    async def _write(self, pending: Pending, batch: Sequence[tuple[ReadFile, NewDocument]], tally: Tally) -> None:
        """Embeds the passages of a few documents together, then writes each document in its own transaction."""
        inputs = {
            chunk.digest: embedding_text(chunk.heading, chunk.text)
            for _, document in batch
            for chunk in document.chunks
        }
        vectors = await self._embed(pending, inputs, tally)
        await asyncio.gather(
            *(
                self._store.write_document(
                    pending,
                    document,
                    {chunk.digest: vectors[chunk.digest] for chunk in document.chunks if chunk.digest in vectors},
                )
                for _, document in batch
            )
        )
        for read, document in batch:
            tally.count(document.path, document.status, document.reason)
            tally.chunks += len(document.chunks)
            if read.known is None:
                tally.added += 1
            else:
                tally.changed += 1
            tally.report(document.path)

    async def _embed(self, pending: Pending, inputs: Mapping[bytes, str], tally: Tally) -> dict[bytes, bytes]:
        """The vectors that are not in the store yet. All but the last batch are written at once."""
        if not inputs:
            return {}
        cached = await asyncio.to_thread(self._store.cached_vectors, pending, list(inputs))
        missing = [digest for digest in inputs if digest not in cached]
        vectors: dict[bytes, bytes] = {}
        for start in range(0, len(missing), BATCH):
            if vectors:
                await self._store.keep_vectors(pending, vectors)
            digests = missing[start : start + BATCH]
            embedded = await self._embed_once_more([inputs[digest] for digest in digests])
            rows = np.ascontiguousarray(embedded.vectors, dtype="<f4")
            vectors = {digest: row.tobytes() for digest, row in zip(digests, rows, strict=True)}
            tally.embedded += len(digests)
        return vectors

    async def _embed_once_more(self, texts: Sequence[str]) -> Embeddings:
        """Embeds, and tries a second time where the encoder died of something else and is back."""
        try:
            return await self._embedder.embed(texts)
        except EngineStopped:
            return await self._embedder.embed(texts)

    async def _complete_vectors(self, pending: Pending, tally: Tally) -> None:
        """Embeds what another embedder had embedded, so that one generation never mixes two."""
        published = await asyncio.to_thread(self._store.published)
        if published.fingerprint == self._embedder.fingerprint:
            return
        while missing := await asyncio.to_thread(self._store.chunks_without_vector, pending, BATCH):
            tally.report("")
            inputs = {chunk.digest: embedding_text(chunk.heading, chunk.text) for chunk in missing}
            await self._store.keep_vectors(pending, await self._embed(pending, inputs, tally))


def keeps_known(read: ReadFile) -> bool:
    """Whether a failure may pass, so that what is known of the file stays as it is until the next run."""
    status, known = read.result.status, read.known
    if status == "vanished" or known is None:
        return status == "vanished"
    return status in PASSING and (known.chunks > 0 or known.status == status)
