"""The vectors of a knowledge base in a database elsewhere, kept in step with its file.

The file stays the system of record. Before a generation is published its passages are written there, and those
that went are marked; readers ask there only for generations that are there whole, and here for all others. Every
step may be repeated, so a run that was killed needs no more than the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import PenstockError, StorageError, Unavailable
from penstock.knowledge.stores import checks, points
from penstock.knowledge.stores.external.base import ExternalStore, stored
from penstock.knowledge.stores.external.comparing import Aspect, Compared, aspects
from penstock.knowledge.stores.points import Stored
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Scope
from penstock.seams import VectorHits, VectorPoint

T = TypeVar("T")
Progress = Callable[[int], None]
LOOK_SECONDS = 15.0
"""Between two looks whether a database is there: more often than searches that find it away try again."""

logger = logging.getLogger(__name__)


def ignore(passages: int) -> None:
    """Where nobody watches."""


class Elsewhere(Struct, frozen=True):
    """A vector database, and where it is: an address without secrets, and the collection."""

    store: ExternalStore
    place: str


class Mirror:
    """Keeps what is elsewhere in step with one file."""

    def __init__(self, store: SqliteStore, elsewhere: Elsewhere, fingerprint: str) -> None:
        self._store = store
        self._there = elsewhere.store
        self._place = elsewhere.place
        self._fingerprint = fingerprint
        self._copied: int | None = None

    async def holds(self, generation: int) -> bool:
        """Whether a generation is there whole."""
        if self._copied is None:
            self._copied = await self._read(lambda stored: stored.copied(self._place))
        return self._copied is not None and generation <= self._copied

    async def bring(self, pending: int, progress: Progress = ignore) -> None:
        """Writes there what came and what went up to the generation that is about to be published.

        Raises `Unavailable` or `StorageError`: then it is not published.
        """
        copied = await self._read(lambda stored: stored.copied(self._place))
        since = copied or 0
        if copied is None:
            await self._there.clear()
        else:
            await self._forget_unpublished(since)
        await self._write_since(since, progress)
        for generation, rows in (await self._read(lambda stored: stored.removed_since(since))).items():
            await self._there.retire(rows, generation)

    async def copy(self, progress: Progress) -> int:
        """Writes there all that is here, in place of what is there; returns the newest generation's number."""
        await self._there.clear()
        await self._write_since(0, progress)
        return await asyncio.to_thread(lambda: self._store.newest().number)

    async def some_vectors(self, generation: int, count: int) -> NDArray[np.float32]:
        """Vectors of passages that a generation shows, spread over all of them: (up to `count`, dimensions)."""
        kept: list[NDArray[np.float32]] = []
        seen = 0
        async for batch in self._points(0):
            for point in batch:
                if is_shown(point, generation, generation):
                    seen += 1
                    if len(kept) < count:
                        kept.append(point.vector)
                    elif seen % (1 + seen // count) == 0:
                        kept[seen % count] = point.vector
        return np.stack(kept) if kept else np.zeros((0, 1), dtype=np.float32)

    async def published(self, number: int) -> None:
        """Notes that a generation is there whole, and deletes what no generation shows any more."""
        await self._store.database.write(
            lambda connection: points.note_copied(connection, self._store.project_id, self._place, number)
        )
        self._copied = number
        await self._there.purge(await self._read(lambda stored: stored.oldest()))

    async def compared(self, progress: Progress = ignore) -> Compared:
        """What of the generations that are there is not as it is here: every passage is read, with its vector,
        its metadata and its readers. Raises `Unavailable` or `StorageError`."""
        copied = await self._read(lambda stored: stored.copied(self._place))
        return Compared((), (), {}) if copied is None else await self.compare(copied, progress)

    async def compare(self, newest: int, progress: Progress = ignore) -> Compared:
        """The same of the generations up to `newest`."""
        oldest = await self._read(lambda stored: stored.oldest())
        extra = set((await self._there.rows(oldest, newest)).tolist())
        missing: list[int] = []
        changed: dict[Aspect, list[int]] = {}
        done = 0
        async for batch in self._points(0):
            here = [stored(point) for point in batch if is_shown(point, oldest, newest)]
            there = await self._there.read([point.row for point in here if point.row in extra])
            for point in here:
                if point.row not in there:
                    missing.append(point.row)
                    continue
                extra.discard(point.row)
                for aspect in aspects(point, there[point.row], newest):
                    changed.setdefault(aspect, []).append(point.row)
            done += len(batch)
            progress(done)
        return Compared(
            tuple(missing), tuple(sorted(extra)), {aspect: tuple(rows) for aspect, rows in changed.items()}
        )

    async def repair(self, compared: Compared) -> None:
        """Writes once more what differs, and deletes what is not here."""
        wrong = compared.wrong
        if wrong:
            async for batch in self._points(0):
                await self._there.upsert([point for point in batch if point.row in wrong])
        await self._there.delete(compared.extra)

    async def differences(self, progress: Progress = ignore) -> list[checks.Difference]:
        """What is not there as it is here; that it cannot be asked, too."""
        try:
            reasons = (await self.compared(progress)).reasons()
        except (Unavailable, StorageError) as error:
            reasons = [error.message]
        return [checks.Difference("elsewhere", self._place, reason) for reason in reasons]

    async def mend(self) -> None:
        """Puts right what differs. Raises `Unavailable` or `StorageError`."""
        await self.repair(await self.compared())

    @property
    def place(self) -> str:
        """Where it is, without secrets."""
        return self._place

    @property
    def trouble(self) -> PenstockError | None:
        """What the last request to the database ended in, `None` where it was answered."""
        return self._there.trouble

    async def follow(self) -> None:
        """Keeps `trouble` as it is while nobody searches, until it is cancelled."""
        while True:
            before = self.trouble
            await self._there.look()
            if self.trouble is not None and before is None:
                logger.warning("the vectors at %s cannot be searched: %s", self._place, self.trouble)
            elif self.trouble is None and before is not None:
                logger.info("the vectors at %s are searched there again", self._place)
            await asyncio.sleep(LOOK_SECONDS)

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits:
        return await self._there.search(vector, k, scope)

    async def cosines(self, vector: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float32]:
        return await self._there.cosines(vector, rows)

    async def _forget_unpublished(self, since: int) -> None:
        """A run that ended before it published may have left passages under the number that is now in use."""
        current = await self._read(lambda stored: stored.rows_added_since(since))
        stale = [row for row in await self._there.added_since(since) if row not in current]
        await self._there.delete(stale)

    async def _write_since(self, since: int, progress: Progress) -> None:
        written = 0
        async for batch in self._points(since):
            await self._there.upsert(batch)
            written += len(batch)
            progress(written)

    async def _points(self, since: int) -> AsyncIterator[list[VectorPoint]]:
        with self._store.database.read() as connection:
            batches = Stored(connection, self._store.project_id, self._fingerprint).added_since(since)
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                yield batch

    async def _read(self, query: Callable[[Stored], T]) -> T:
        def run() -> T:
            with self._store.database.read() as connection:
                return query(Stored(connection, self._store.project_id, self._fingerprint))

        return await asyncio.to_thread(run)


def is_shown(point: VectorPoint, oldest: int, newest: int) -> bool:
    """Whether a generation from `oldest` to `newest` shows it."""
    return point.added_in <= newest and (point.removed_in is None or point.removed_in > oldest)
