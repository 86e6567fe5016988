"""A collection of Qdrant."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from penstock.errors import StorageError, Unavailable
from penstock.knowledge.stores.external import clauses
from penstock.knowledge.stores.external.base import FoundPoint, StoredPoint, Wanted, read_point
from penstock.knowledge.stores.external.clauses import Clause, Has, Range

T = TypeVar("T")

PAGE = 1000
INDEXED: dict[str, models.PayloadSchemaType] = {
    "words": models.PayloadSchemaType.KEYWORD,
    f"numbers.{clauses.ADDED}": models.PayloadSchemaType.FLOAT,
    f"numbers.{clauses.REMOVED}": models.PayloadSchemaType.FLOAT,
}


class QdrantCollection:
    """`Backend` on one collection, made when it is missing."""

    def __init__(self, client: AsyncQdrantClient, name: str, place: str) -> None:
        self._client = client
        self._name = name
        self._place = place

    async def open(self, dimensions: int) -> None:
        if await self._ask(self._client.collection_exists(self._name)):
            return
        size = models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
        await self._ask(self._client.create_collection(self._name, vectors_config=size))
        for field, kind in INDEXED.items():
            await self._ask(self._client.create_payload_index(self._name, field, field_schema=kind))

    async def write(self, points: Sequence[StoredPoint]) -> None:
        await self._ask(
            self._client.upsert(
                self._name,
                [
                    models.PointStruct(
                        id=point.row,
                        vector=point.vector.tolist(),
                        payload={"words": point.words, "numbers": point.numbers, "about": point.about},
                    )
                    for point in points
                ],
                wait=True,
            )
        )

    async def set_removed(self, rows: Sequence[int], generation: int) -> None:
        value = {clauses.REMOVED: generation}
        await self._ask(self._client.set_payload(self._name, value, points=list(rows), key="numbers", wait=True))

    async def delete(self, rows: Sequence[int]) -> None:
        await self._ask(self._client.delete(self._name, models.PointIdsList(points=list(rows)), wait=True))

    async def query(self, vector: NDArray[np.float32], k: int, wanted: Wanted) -> list[FoundPoint]:
        found = await self._ask(
            self._client.query_points(
                self._name,
                vector.tolist(),
                query_filter=models.Filter(must=[condition(wanted.clause)]),
                limit=k,
                with_payload=["about"],
            )
        )
        return [
            FoundPoint(int(point.id), float(point.score), str((point.payload or {})["about"]))
            for point in found.points
        ]

    async def vectors(self, rows: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        found = await self._ask(
            self._client.retrieve(self._name, list(rows), with_payload=False, with_vectors=True)
        )
        return {int(point.id): np.array(point.vector, dtype=np.float32) for point in found}

    async def read(self, rows: Sequence[int]) -> list[StoredPoint]:
        found = await self._ask(self._client.retrieve(self._name, list(rows), with_payload=True, with_vectors=True))
        return [read(point.id, point.vector, point.payload or {}) for point in found]

    async def list_rows(self, clause: Clause) -> list[int]:
        rows: list[int] = []
        offset: Any = None
        while True:
            page, offset = await self._ask(
                self._client.scroll(
                    self._name,
                    scroll_filter=models.Filter(must=[condition(clause)]),
                    limit=PAGE,
                    offset=offset,
                    with_payload=False,
                )
            )
            rows.extend(int(point.id) for point in page)
            if offset is None:
                return rows

    async def clear(self) -> None:
        everything = models.FilterSelector(filter=models.Filter())
        await self._ask(self._client.delete(self._name, everything, wait=True))

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except UnexpectedResponse as error:
            raise StorageError(
                f"Qdrant at {self._place} answered {error.status_code} ({error.reason_phrase}).",
                hint="Look at its log; check the key and the name of the collection.",
            ) from error
        except (ResponseHandlingException, ApiException, OSError) as error:
            raise Unavailable(
                f"Qdrant at {self._place} cannot be reached: {error}.", hint="Check that it runs, and its address."
            ) from error


def read(row: object, vector: object, payload: dict[str, Any]) -> StoredPoint:
    words, numbers = payload.get("words", ()), payload.get("numbers", {})
    return read_point(int(str(row)), vector, words, numbers, str(payload.get("about")))


def condition(clause: Clause) -> models.Condition:
    match clause:
        case Has(word, wanted):
            match = models.FieldCondition(key="words", match=models.MatchValue(value=word))
            return match if wanted else models.Filter(must_not=[match])
        case Range(name, order, value):
            return models.FieldCondition(key=f"numbers.{name}", range=models.Range(**{order: value}))
        case clauses.All(parts):
            return models.Filter(must=[condition(part) for part in parts])
        case clauses.Any(parts):
            return models.Filter(should=[condition(part) for part in parts])
