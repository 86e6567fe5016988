"""A vector database beside the system of record: the part that is the same for all of them.

What a database returns is checked once more, by the meaning of the filter and of the readers themselves, and asked
for again in a larger number where too little is left: it finds the nearest, we say which of them may be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

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

AT_ONCE = 256
"""Points in one request."""
MORE = 4
"""How many times as many are asked for when too few could be seen."""
MOST = 10_000
"""Points asked for at once; databases refuse more."""


class About(Struct, frozen=True):
    """What is kept with a point, as JSON, to check by what comes back."""

    metadata: dict[str, str | int | float | bool | tuple[str, ...]]
    readers: tuple[str, ...]


class StoredPoint(Struct, frozen=True, kw_only=True):
    """A point as it is written. `numbers` are those of the metadata, `added`, and `removed` (`NEVER` for none)."""

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

    async def list_rows(self, clause: Clause) -> list[int]: ...

    async def clear(self) -> None:
        """Deletes every point."""
        ...

    async def close(self) -> None: ...


class ExternalStore:
    """What a knowledge base asks of a vector database. Writes may be repeated."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def upsert(self, points: Sequence[VectorPoint]) -> None:
        for start in range(0, len(points), AT_ONCE):
            await self._backend.write([stored(point) for point in points[start : start + AT_ONCE]])

    async def retire(self, rows: Sequence[int], removed_in: int) -> None:
        for start in range(0, len(rows), AT_ONCE):
            await self._backend.set_removed(rows[start : start + AT_ONCE], removed_in)

    async def delete(self, rows: Sequence[int]) -> None:
        for start in range(0, len(rows), AT_ONCE):
            await self._backend.delete(rows[start : start + AT_ONCE])

    async def search(self, vector: NDArray[np.float32], k: int, scope: Scope) -> VectorHits:
        wanted = Wanted(clause_of(scope), scope.reader)
        asked = min(k, MOST)
        while True:
            found = await self._backend.query(vector, asked, wanted)
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
            vectors = await self._backend.vectors(rows[start : start + AT_ONCE])
            for at, row in enumerate(rows[start : start + AT_ONCE], start):
                if row in vectors:
                    found[at] = vectors[row] @ vector
        return found

    async def rows(self, generation: int) -> NDArray[np.int64]:
        shown = All((Range(ADDED, "lte", generation), Range(REMOVED, "gt", generation)))
        return np.array(sorted(await self._backend.list_rows(shown)), dtype=np.int64)

    async def added_since(self, generation: int) -> list[int]:
        """Every row of a later generation than that."""
        return await self._backend.list_rows(Range(ADDED, "gt", generation))

    async def purge(self, oldest: int) -> None:
        """Deletes what no generation from `oldest` on shows."""
        await self.delete(await self._backend.list_rows(Range(REMOVED, "lte", oldest)))

    async def clear(self) -> None:
        """Deletes every point: for a knowledge base that begins anew."""
        await self._backend.clear()

    async def close(self) -> None:
        await self._backend.close()


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


def visible(point: FoundPoint, scope: Scope) -> bool:
    about = msgspec.json.decode(point.about, type=About)
    if not scope.reader.may_find(about.readers):
        return False
    return scope.filter is None or matches(scope.filter, about.metadata)
