"""A collection of a database that was away when it was to be opened: it is opened when it is next asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.stores.external.base import Backend, FoundPoint, StoredPoint, Wanted
from penstock.knowledge.stores.external.clauses import Clause


class DeferredBackend:
    """Every method raises what `opening` raises, until it succeeds."""

    def __init__(self, opening: Callable[[], Awaitable[Backend]]) -> None:
        self._opening = opening
        self._one = asyncio.Lock()
        self._backend: Backend | None = None

    async def write(self, points: Sequence[StoredPoint]) -> None:
        await (await self._opened()).write(points)

    async def set_removed(self, rows: Sequence[int], generation: int) -> None:
        await (await self._opened()).set_removed(rows, generation)

    async def delete(self, rows: Sequence[int]) -> None:
        await (await self._opened()).delete(rows)

    async def query(self, vector: NDArray[np.float32], k: int, wanted: Wanted) -> list[FoundPoint]:
        return await (await self._opened()).query(vector, k, wanted)

    async def vectors(self, rows: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        return await (await self._opened()).vectors(rows)

    async def read(self, rows: Sequence[int]) -> list[StoredPoint]:
        return await (await self._opened()).read(rows)

    async def list_rows(self, clause: Clause) -> list[int]:
        return await (await self._opened()).list_rows(clause)

    async def clear(self) -> None:
        await (await self._opened()).clear()

    async def close(self) -> None:
        if self._backend is not None:
            await self._backend.close()

    async def _opened(self) -> Backend:
        async with self._one:
            if self._backend is None:
                self._backend = await self._opening()
            return self._backend
