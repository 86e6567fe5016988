"""A namespace of a Pinecone index with the metric cosine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pinecone import AsyncIndex
from pinecone.errors import ApiError, NotFoundError, PineconeError

from penstock.errors import StorageError, Unavailable
from penstock.knowledge.stores.external import clauses
from penstock.knowledge.stores.external.base import FoundPoint, StoredPoint, Wanted, read_point
from penstock.knowledge.stores.external.clauses import Clause, Has, Range

T = TypeVar("T")

UPDATES = 8
"""At once: this API changes the metadata of one point by one request."""
ORDERS = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}


class PineconeNamespace:
    """`Backend` on one namespace."""

    def __init__(self, index: AsyncIndex, namespace: str, place: str) -> None:
        self._index = index
        self._namespace = namespace
        self._place = place

    async def write(self, points: Sequence[StoredPoint]) -> None:
        vectors = [
            {
                "id": str(point.row),
                "values": point.vector.tolist(),
                "metadata": {"words": point.words, "about": point.about, **point.numbers},
            }
            for point in points
        ]
        await self._ask(self._index.upsert(vectors=vectors, namespace=self._namespace, show_progress=False))

    async def set_removed(self, rows: Sequence[int], generation: int) -> None:
        at_once = asyncio.Semaphore(UPDATES)

        async def update(row: int) -> None:
            async with at_once:
                removed = {clauses.REMOVED: float(generation)}
                await self._ask(self._index.update(id=str(row), set_metadata=removed, namespace=self._namespace))

        await asyncio.gather(*map(update, rows))

    async def delete(self, rows: Sequence[int]) -> None:
        await self._ask(self._index.delete(ids=list(map(str, rows)), namespace=self._namespace))

    async def query(self, vector: NDArray[np.float32], k: int, wanted: Wanted) -> list[FoundPoint]:
        found = await self._ask(
            self._index.query(
                top_k=k,
                vector=vector.tolist(),
                namespace=self._namespace,
                filter=where(wanted.clause),
                include_metadata=True,
            )
        )
        return [
            FoundPoint(int(match.id), float(match.score or 0.0), str((match.metadata or {})["about"]))
            for match in found.matches
        ]

    async def vectors(self, rows: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        found = await self._fetch(list(map(str, rows)))
        return {int(name): np.asarray(each.values, dtype=np.float32) for name, each in found.items()}

    async def read(self, rows: Sequence[int]) -> list[StoredPoint]:
        points = []
        for name, each in (await self._fetch(list(map(str, rows)))).items():
            kept: dict[str, Any] = dict(each.metadata or {})
            words, numbers = kept.get("words", ()), clauses.numbers_among(kept)
            points.append(read_point(int(name), each.values, words, numbers, str(kept.get("about"))))
        return points

    async def list_rows(self, clause: Clause) -> list[int]:
        rows: list[int] = []
        async for page in self._index.list(namespace=self._namespace):
            names = [str(each.id) for each in page.vectors]
            for name, each in (await self._fetch(names)).items():
                metadata: dict[str, Any] = dict(each.metadata or {})
                if clauses.holds(clause, frozenset(metadata["words"]), clauses.numbers_among(metadata)):
                    rows.append(int(name))
        return rows

    async def clear(self) -> None:
        try:
            await self._ask(self._index.delete(delete_all=True, namespace=self._namespace), missing=True)
        except NotFoundError:
            return  # a namespace comes to be with its first point

    async def close(self) -> None:
        await self._index.close()

    async def _fetch(self, names: list[str]) -> dict[str, Any]:
        if not names:
            return {}
        found = await self._ask(self._index.fetch(ids=names, namespace=self._namespace))
        return dict(found.vectors)

    async def _ask(self, work: Awaitable[T], *, missing: bool = False) -> T:
        try:
            return await work
        except ApiError as error:
            if missing and isinstance(error, NotFoundError):
                raise
            raise StorageError(
                f"Pinecone at {self._place} refused: {error}.", hint="Check the key, and the host of the index."
            ) from error
        except (PineconeError, OSError) as error:
            raise Unavailable(
                f"Pinecone at {self._place} cannot be reached: {error}.", hint="Check the host of the index."
            ) from error


def where(clause: Clause) -> dict[str, Any]:
    match clause:
        case Has(word, wanted):
            return {"words": {"$in" if wanted else "$nin": [word]}}
        case Range(name, order, value):
            return {name: {ORDERS[order]: value}}
        case clauses.All(parts):
            return {"$and": [where(part) for part in parts]}
        case clauses.Any(parts):
            return {"$or": [where(part) for part in parts]}
