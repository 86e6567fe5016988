"""From outcomes to the store: documents are put together, embedded and written, window by window.

Three tasks hand windows on, so that one is embedded while the last is written and the next is read. A window is
full by what is in it, never by the moment, so that two runs over the same files make the same windows.
"""

from __future__ import annotations

import asyncio

import msgspec

from penstock.knowledge.ingestion.documents import DocumentMaker, touched
from penstock.knowledge.ingestion.embedding import Embedding
from penstock.knowledge.ingestion.outcome import Line, Outcome, Read, Shared, Unchanged
from penstock.knowledge.ingestion.plan import PASSING, keeps_known
from penstock.knowledge.ingestion.tally import Tally
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.writes import Batch, Pending

PASSAGES = 512
DOCUMENTS = 1000
CHARACTERS = 4_000_000
"""A window is full with so many of any of these."""


class Window:
    """Outcomes that are written in one transaction."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._passages = self._characters = 0

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if isinstance(outcome, Read):
            self._passages += len(outcome.result.passages)
            self._characters += len(outcome.result.text)

    @property
    def full(self) -> bool:
        return self._passages >= PASSAGES or self._characters >= CHARACTERS or len(self.outcomes) >= DOCUMENTS

    def batch(self, maker: DocumentMaker) -> Batch:
        """The rows, without vectors."""
        return Batch(
            documents=tuple(
                maker.new(each) for each in self.outcomes if isinstance(each, Read) and not is_kept(each)
            ),
            copies=tuple(maker.copy(each) for each in self.outcomes if isinstance(each, Shared)),
            touched=tuple(
                touched(each.work.item, each.work.known.row)
                for each in self.outcomes
                if isinstance(each, Unchanged) and each.work.known is not None
            ),
        )


class Writing:
    """Empties a line into the store. `unsettled` names sources of which something is to be tried again."""

    def __init__(
        self, store: SqliteStore, pending: Pending, maker: DocumentMaker, embedding: Embedding, tally: Tally
    ) -> None:
        self._store = store
        self._pending = pending
        self._maker = maker
        self._embedding = embedding
        self._tally = tally
        self._made: asyncio.Queue[tuple[Window, Batch] | None] = asyncio.Queue(1)
        self._embedded: asyncio.Queue[tuple[Window, Batch] | None] = asyncio.Queue(1)
        self.unsettled: set[str] = set()

    async def collect(self, line: Line) -> None:
        """The first task: outcomes to windows of rows."""
        window = Window()
        while (outcome := await line.get()) is not None:
            window.add(outcome)
            if window.full:
                await self._hand_on(window)
                window = Window()
        if window.outcomes:
            await self._hand_on(window)
        await self._made.put(None)

    async def embed(self) -> None:
        """The second task: what no document had before is embedded."""
        while (made := await self._made.get()) is not None:
            window, batch = made
            inputs = {
                chunk.digest: text
                for document in batch.documents
                for chunk, text in zip(document.chunks, document.inputs, strict=True)
            }
            vectors = await self._embedding.vectors(inputs)
            await self._embedded.put((window, msgspec.structs.replace(batch, vectors=vectors)))
        await self._embedded.put(None)

    async def write(self) -> None:
        """The third task, the only one that writes documents: each window in one transaction."""
        while (embedded := await self._embedded.get()) is not None:
            window, batch = embedded
            await self._store.write(self._pending, batch)
            self._embedding.written(batch.vectors)
            for outcome in window.outcomes:
                self._count(outcome)
            self._tally.report("")

    async def _hand_on(self, window: Window) -> None:
        await self._made.put((window, await asyncio.to_thread(window.batch, self._maker)))

    def _count(self, outcome: Outcome) -> None:
        tally, work = self._tally, outcome.work
        if isinstance(outcome, Read):
            status, reason = outcome.result.status, outcome.result.reason
            chunks = 0 if is_kept(outcome) else len(outcome.result.passages)
            if status in PASSING or status == "vanished":
                self.unsettled.add(work.source.name)
        elif isinstance(outcome, Shared):
            header = outcome.known.header
            status, reason, chunks = header.status, header.reason, header.chunks
        else:
            assert work.known is not None
            status, reason, chunks = work.known.status, work.known.reason, 0
        tally.count(work.item.key, status, reason)
        tally.chunks += chunks
        if isinstance(outcome, Unchanged):
            tally.unchanged += 1
        elif not is_kept(outcome):
            tally.added += work.known is None
            tally.changed += work.known is not None


def is_kept(outcome: Outcome) -> bool:
    """Whether what is known of a document stays as it is, because this time it could not be read."""
    return isinstance(outcome, Read) and keeps_known(outcome.result, outcome.work.known)
