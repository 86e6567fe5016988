"""A vector database beside the system of record: the part that is the same for all of them.

What a database returns is checked once more, by the meaning of the filter and of the readers themselves, and asked
for again in a larger number where too little is left: it finds the nearest, we say which of them may be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import PenstockError, Unavailable
from penstock.knowledge.filters import Value, matches
from penstock.knowledge.stores.external.clauses import (
    ADDED,
    NEVER,
    REMOVED,
    All,
    Clause,
    Range,
    clause_of,
    numbers_of,
    words_of,
)
from penstock.knowledge.values import Reader, Scope
from penstock.seams import VectorHits, VectorPoint

T = TypeVar("T")

AT_ONCE = 256
"""Points in one request."""
MORE = 4
"""How many times as many are asked for when too few could be seen."""
SECONDS = 10.0
"""After which a search, or a look whether the database is there, is given up: the file answers, too."""
MOST = 10_000
"""Points asked for at once; databases refuse more."""


class About(Struct, frozen=True):
    """What is kept with a point, as JSON, to check by what comes back."""

    metadata: dict[str, str | int | float | bool | tuple[str, ...]]
    readers: tuple[str, ...]


class StoredPoint(Struct, frozen=True, kw_only=True):
    """A point as it is written and read. `numbers` are those of the metadata, `added`, and `removed` (`NEVER` for
    none). `readers` are in `about`, too; databases that know readers keep them on their own."""

    row: int
    vector: NDArray[np.float32]
    words: list[str]
    numbers: dict[str, float]
    readers: tuple[str, ...]
    about: str


class Wanted(Struct, frozen=True):
    """What a query may find; `reader` is in the clause, too, and stands alone for databases that know readers."""

    clause: Clause
    reader: Reader


class FoundPoint(Struct, frozen=True):
    row: int
    cosine: float
    about: str


class Backend(Protocol):
    """One collection of a vector database. Raises a `PenstockError` where the database cannot be used."""

    async def write(self, points: Sequence[StoredPoint]) -> None:
        """Writes points, in place of those of the same rows."""
        ...

    async def set_removed(self, rows: Sequence[int], generation: int) -> None: ...

    async def delete(self, rows: Sequence[int]) -> None: ...

    async def query(self, vector: NDArray[np.float32], k: int, wanted: Wanted) -> list[FoundPoint]:
        """The nearest `k` that the clause lets through, best first; fewer only where there are fewer."""
        ...

    async def vectors(self, rows: Sequence[int]) -> dict[int, NDArray[np.float32]]: ...

    async def read(self, rows: Sequence[int]) -> list[StoredPoint]:
        """All that is kept of these rows, in any order; those that are not there are left out."""
        ...

    async def list_rows(self, clause: Clause) -> list[int]: ...

    async def clear(self) -> None:
        """Deletes every point."""
        ...

    async def close(self) -> None: ...


class ExternalStore:
    """What a knowledge base asks of a vector database. Writes may be repeated.

    `trouble` is what the last request ended in, `None` where it was answered.
    """

    def __init__(self, backend: Backend, trouble: PenstockError | None = None) -> None:
        self._backend = backend
        self.trouble = trouble

    async def look(self) -> None:
        """Asks for next to nothing, so that `trouble` is as it is now."""
        with suppress(PenstockError):
            await self._soon(self._backend.vectors([0]))

    async def upsert(self, points: Sequence[VectorPoint]) -> None:
        for start in range(0, len(points), AT_ONCE):
            part = [stored(point) for point in points[start : start + AT_ONCE]]
            await self._noted(self._backend.write(part))

    async def retire(self, rows: Sequence[int], removed_in: int) -> None:
        for start in range(0, len(rows), AT_ONCE):
            await self._noted(self._backend.set_removed(rows[start : start + AT_ONCE], removed_in))

    async def delete(self, rows: Sequence[int]) -> None:
        for start in range(0, len(rows), AT_ONCE):
            await self._noted(self._backend.delete(rows[start : start + AT_ONCE]))

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits:
        wanted = Wanted(clause_of(scope), scope.reader)
        asked = min(k, MOST)
        while True:
            found = await self._soon(self._backend.query(vector, asked, wanted))
            seen = [point for point in found if visible(point, scope)][:k]
            if len(seen) == k or len(found) < asked or asked == MOST:
                return VectorHits(
                    np.array([point.row for point in seen], dtype=np.int64),
                    np.array([point.cosine for point in seen], dtype=np.float32),
                )
            asked = min(asked * MORE, MOST)

    async def cosines(self, vector: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float32]:
        found = np.full(len(rows), np.nan, dtype=np.float32)
        for start in range(0, len(rows), AT_ONCE):
            vectors = await self._soon(self._backend.vectors(rows[start : start + AT_ONCE]))
            for at, row in enumerate(rows[start : start + AT_ONCE], start):
                if row in vectors:
                    found[at] = vectors[row] @ vector
        return found

    async def read(self, rows: Sequence[int]) -> dict[int, StoredPoint]:
        """All that is kept of these rows; those that are not there are left out."""
        found: dict[int, StoredPoint] = {}
        for start in range(0, len(rows), AT_ONCE):
            part = await self._noted(self._backend.read(rows[start : start + AT_ONCE]))
            found.update({point.row: point for point in part})
        return found

    async def rows(self, oldest: int, newest: int | None = None) -> NDArray[np.int64]:
        """The rows that a generation shows, or any from `oldest` to `newest`, in their order."""
        shown = All((Range(ADDED, "lte", oldest if newest is None else newest), Range(REMOVED, "gt", oldest)))
        return np.array(sorted(await self._noted(self._backend.list_rows(shown))), dtype=np.int64)

    async def added_since(self, generation: int) -> list[int]:
        """Every row of a later generation than that."""
        return await self._noted(self._backend.list_rows(Range(ADDED, "gt", generation)))

    async def purge(self, oldest: int) -> None:
        """Deletes what no generation from `oldest` on shows."""
        await self.delete(await self._noted(self._backend.list_rows(Range(REMOVED, "lte", oldest))))

    async def clear(self) -> None:
        """Deletes every point: for a knowledge base that begins anew."""
        await self._noted(self._backend.clear())

    async def close(self) -> None:
        await self._backend.close()

    async def _soon(self, work: Awaitable[T]) -> T:
        """Raises `Unavailable` where there is no answer after `SECONDS`."""

        async def patient() -> T:
            try:
                async with asyncio.timeout(SECONDS):
                    return await work
            except TimeoutError:
                raise Unavailable(
                    f"The vector database gave no answer within {SECONDS:.0f} s.",
                    hint="Look at its load and its log.",
                ) from None

        return await self._noted(patient())

    async def _noted(self, work: Awaitable[T]) -> T:
        try:
            answer = await work
        except PenstockError as error:
            self.trouble = error
            raise
        self.trouble = None
        return answer


def stored(point: VectorPoint) -> StoredPoint:
    about = About(msgspec.convert(dict(point.metadata), dict[str, Value]), point.readers)
    removed = NEVER if point.removed_in is None else point.removed_in
    return StoredPoint(
        row=point.row,
        vector=point.vector,
        words=words_of(about.metadata, about.readers),
        numbers={**numbers_of(about.metadata), ADDED: point.added_in, REMOVED: removed},
        readers=about.readers,
        about=msgspec.json.encode(about).decode(),
    )


def read_point(
    row: int, vector: object, words: Sequence[str], numbers: Mapping[str, float], about: str
) -> StoredPoint:
    """What a database has of a point; one without a column for readers keeps them in `about` alone."""
    return StoredPoint(
        row=row,
        vector=np.asarray(vector, dtype=np.float32),
        words=list(words),
        numbers={name: float(value) for name, value in numbers.items()},
        readers=about_of(about).readers,
        about=about,
    )


def about_of(text: str) -> About:
    """What stands there; nothing at all where somebody else wrote there."""
    try:
        return msgspec.json.decode(text, type=About)
    except msgspec.DecodeError:
        return About({}, ())


def visible(point: FoundPoint, scope: Scope) -> bool:
    about = msgspec.json.decode(point.about, type=About)
    if not scope.reader.may_find(about.readers):
        return False
    return scope.filter is None or matches(scope.filter, about.metadata)
