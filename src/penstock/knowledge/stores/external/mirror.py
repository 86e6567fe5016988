"""The vectors of a knowledge base in a database elsewhere, kept in step with its file.

The file stays the system of record. Before a generation is published its passages are written there, and those
that went are marked; readers ask there only for generations that are there whole, and here for all others. Every
step may be repeated, so a run that was killed needs no more than the next one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import Unavailable
from penstock.knowledge.stores import checks, points
from penstock.knowledge.stores.external.base import ExternalStore
from penstock.knowledge.stores.points import Stored
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors.embedded import EmbeddedVectors
from penstock.knowledge.stores.vectors.index import IndexStats, VectorIndex
from penstock.knowledge.values import Scope
from penstock.seams import VectorHits, VectorPoint

T = TypeVar("T")
Progress = Callable[[int], None]
PATIENCE = 30.0
"""Seconds after which a database that was away is asked again."""

logger = logging.getLogger(__name__)


class Elsewhere(Struct, frozen=True):
    """A vector database, and where it is: an address without secrets, and the collection."""

    store: ExternalStore
    place: str


class Difference(Struct, frozen=True):
    """Passages of a generation that are here and not there, and the other way round."""

    missing: tuple[int, ...]
    extra: tuple[int, ...]


def reason_of(difference: Difference) -> str:
    return f"{len(difference.missing):,} passages are missing there, {len(difference.extra):,} are too many"


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

    async def bring(self, pending: int, progress: Progress = lambda copied: None) -> None:
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
                if point.added_in <= generation and (point.removed_in is None or point.removed_in > generation):
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

    async def compare(self, generation: int, here: NDArray[np.int64]) -> Difference:
        """What differs between the passages of a generation here and there."""
        there = await self._there.rows(generation)
        missing, extra = np.setdiff1d(here, there), np.setdiff1d(there, here)
        return Difference(tuple(missing.tolist()), tuple(extra.tolist()))

    async def repair(self, difference: Difference) -> None:
        """Writes once more what is here, and deletes what is not."""
        unknown = {*difference.missing, *difference.extra}
        async for batch in self._points(0):
            again = [point for point in batch if point.row in unknown]
            await self._there.upsert(again)
            unknown.difference_update(point.row for point in again)
        await self._there.delete(sorted(unknown))

    async def differences(self) -> list[checks.Difference]:
        """What is not there as it is here, of each generation that is there; that it cannot be reached, too."""
        try:
            return [
                checks.Difference("elsewhere", f"{self._place}, generation {number}", reason_of(difference), number)
                for number, difference in await self._compared()
            ]
        except Unavailable as error:
            return [checks.Difference("elsewhere", self._place, error.message)]

    async def mend(self) -> None:
        """Puts right what differs. Raises `Unavailable`."""
        for _, difference in await self._compared():
            await self.repair(difference)

    async def _compared(self) -> list[tuple[int, Difference]]:
        copied = await self._read(lambda stored: stored.copied(self._place))
        found = []
        for number in await self._read(lambda stored: stored.kept()):
            if copied is not None and number <= copied:
                here = await self._read(lambda stored, number=number: stored.rows(number))  # type: ignore[misc]
                difference = await self.compare(number, np.array(here, dtype=np.int64))
                if difference.missing or difference.extra:
                    found.append((number, difference))
        return found

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


class MirroredVectors:
    """Searches elsewhere, and here what is not there yet, or while the database is away: the file has it all."""

    def __init__(self, here: EmbeddedVectors, mirror: Mirror) -> None:
        self._here = here
        self._mirror = mirror
        self._again_at = 0.0

    def warm(self) -> None:
        """Nothing: vectors elsewhere are not loaded."""

    def index(self, generation: int) -> VectorIndex | None:
        """None in this process."""
        return None

    def loaded(self, generation: int) -> VectorIndex | None:
        return None

    def stats(self) -> IndexStats | None:
        """Of what is searched here, because it is not there yet."""
        return self._here.stats()

    def forget(self) -> None:
        self._here.forget()

    def close(self) -> None:
        self._here.close()

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits:
        """The `k` nearest passages that the scope lets through; fewer only where there are fewer."""
        if await self._asks_there(scope.generation):
            try:
                return await self._mirror.search(vector, k, scope)
            except Unavailable as error:
                self._note(error)
        return await self._here.search(vector, k, scope)

    async def cosines(
        self, vector: NDArray[np.float32], rows: Sequence[int], generation: int
    ) -> NDArray[np.float32]:
        """The cosine of each of these rows, NaN for one that is not there."""
        if await self._asks_there(generation):
            try:
                return await self._mirror.cosines(vector, rows)
            except Unavailable as error:
                self._note(error)
        return await self._here.cosines(vector, rows, generation)

    async def _asks_there(self, generation: int) -> bool:
        return time.monotonic() >= self._again_at and await self._mirror.holds(generation)

    def _note(self, error: Unavailable) -> None:
        self._again_at = time.monotonic() + PATIENCE
        logger.warning("searches go on in the knowledge's own file for %.0f s: %s", PATIENCE, error)
