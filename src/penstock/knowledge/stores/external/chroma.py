"""A collection of a Chroma server."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import chromadb
import httpx
import numpy as np
from chromadb.api import AsyncClientAPI
from chromadb.api.models.AsyncCollection import AsyncCollection
from chromadb.config import Settings
from chromadb.errors import ChromaError
from numpy.typing import NDArray

from penstock.errors import StorageError, Unavailable
from penstock.knowledge.stores.external import clauses
from penstock.knowledge.stores.external.base import FoundPoint, StoredPoint, Wanted, read_point
from penstock.knowledge.stores.external.clauses import Clause, Has, Range

T = TypeVar("T")

PAGE = 1000
ORDERS = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}


class ChromaCollection:
    """`Backend` on one collection with cosine distances, made when it is missing."""

    def __init__(self, client: AsyncClientAPI, name: str, place: str) -> None:
        self._client = client
        self._name = name
        self._place = place
        self._made: AsyncCollection | None = None

    async def open(self, dimensions: int) -> None:
        configuration: Any = {"hnsw": {"space": "cosine"}}
        self._made = await self._ask(
            self._client.get_or_create_collection(self._name, configuration=configuration, embedding_function=None)
        )

    async def write(self, points: Sequence[StoredPoint]) -> None:
        names = [str(point.row) for point in points]
        # Its own way to write over a point keeps the fields that the new one has not.
        if (before := await self._ask(self._collection.get(ids=names, include=[])))["ids"]:
            await self._ask(self._collection.delete(ids=before["ids"]))
        await self._ask(
            self._collection.upsert(
                ids=names,
                embeddings=np.stack([point.vector for point in points]),
                metadatas=[{"words": point.words, "about": point.about, **point.numbers} for point in points],  # type: ignore[dict-item]
            )
        )

    async def set_removed(self, rows: Sequence[int], generation: int) -> None:
        removed = [{clauses.REMOVED: float(generation)} for _ in rows]
        await self._ask(self._collection.update(ids=list(map(str, rows)), metadatas=removed))  # type: ignore[arg-type]

    async def delete(self, rows: Sequence[int]) -> None:
        await self._ask(self._collection.delete(ids=list(map(str, rows))))

    async def query(self, vector: NDArray[np.float32], k: int, wanted: Wanted) -> list[FoundPoint]:
        found = await self._ask(
            self._collection.query(
                query_embeddings=vector[np.newaxis],
                n_results=k,
                where=where(wanted.clause),
                include=["metadatas", "distances"],
            )
        )
        metadatas: Any = found["metadatas"]
        distances: Any = found["distances"]
        return [
            FoundPoint(int(row), 1.0 - float(distance), about["about"])
            for row, distance, about in zip(found["ids"][0], distances[0], metadatas[0], strict=True)
        ]

    async def vectors(self, rows: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        found = await self._ask(self._collection.get(ids=list(map(str, rows)), include=["embeddings"]))
        vectors: Any = found["embeddings"]
        return {
            int(row): np.asarray(vector, dtype=np.float32)
            for row, vector in zip(found["ids"], vectors, strict=True)
        }

    async def read(self, rows: Sequence[int]) -> list[StoredPoint]:
        found = await self._ask(self._collection.get(ids=list(map(str, rows)), include=["embeddings", "metadatas"]))
        vectors: Any = found["embeddings"]
        metadatas: Any = found["metadatas"]
        return [
            read_point(int(row), vector, kept.get("words", ()), clauses.numbers_among(kept), str(kept.get("about")))
            for row, vector, kept in zip(found["ids"], vectors, metadatas, strict=True)
        ]

    async def list_rows(self, clause: Clause) -> list[int]:
        rows: list[int] = []
        while True:
            page = await self._ask(
                self._collection.get(where=where(clause), limit=PAGE, offset=len(rows), include=[])
            )
            rows.extend(map(int, page["ids"]))
            if len(page["ids"]) < PAGE:
                return rows

    async def clear(self) -> None:
        while True:
            page = await self._ask(self._collection.get(limit=PAGE, include=[]))
            if not page["ids"]:
                return
            await self._ask(self._collection.delete(ids=page["ids"]))

    async def close(self) -> None:
        """Its client holds nothing that outlives its requests."""

    @property
    def _collection(self) -> AsyncCollection:
        assert self._made is not None
        return self._made

    async def _ask(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except ChromaError as error:
            raise StorageError(
                f"Chroma at {self._place} refused: {error}.", hint="Look at its log; check the key."
            ) from error
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise Unavailable(
                f"Chroma at {self._place} cannot be reached: {error}.", hint="Check that it runs, and its address."
            ) from error


async def connect(address: tuple[str, int], key: str, *, secure: bool, place: str) -> AsyncClientAPI:
    """A client of the server at this host and port. Raises `Unavailable`."""
    try:
        return await chromadb.AsyncHttpClient(host=address[0], port=address[1], ssl=secure, settings=settings(key))
    except (httpx.HTTPError, OSError, ValueError) as error:  # it says "Could not connect" with a ValueError
        raise Unavailable(
            f"Chroma at {place} cannot be reached.", hint="Check that it runs, its address and the key."
        ) from error


def settings(key: str) -> Settings:
    """How the client behaves: it tells nobody that it is used, and shows the key where there is one."""
    own = Settings(anonymized_telemetry=False)
    if key:
        own.chroma_client_auth_provider = "chromadb.auth.token_authn.TokenAuthClientProvider"
        own.chroma_client_auth_credentials = key
    return own


def where(clause: Clause) -> Any:
    match clause:
        case Has(word, wanted):
            return {"words": {"$contains" if wanted else "$not_contains": word}}
        case Range(name, order, value):
            return {name: {ORDERS[order]: float(value)}}
        case clauses.All(parts) | clauses.Any(parts):
            if len(parts) == 1:
                return where(parts[0])
            return {"$and" if isinstance(clause, clauses.All) else "$or": [where(part) for part in parts]}
