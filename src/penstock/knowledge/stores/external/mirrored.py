"""Searches in a database elsewhere, and here while it has not everything or is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.errors import PenstockError
from penstock.knowledge.stores.external.mirror import Mirror
from penstock.knowledge.stores.vectors.embedded import EmbeddedVectors
from penstock.knowledge.stores.vectors.index import IndexStats, VectorIndex
from penstock.knowledge.values import Scope
from penstock.seams import VectorHits

PATIENCE = 30.0
"""Seconds after which a search asks a database again that was away."""

logger = logging.getLogger(__name__)


class MirroredVectors:
    """The file has it all, so no search fails because of a database that is away, or that refuses."""

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
            except PenstockError as error:
                self._note(error)
        return await self._here.search(vector, k, scope)

    async def cosines(
        self, vector: NDArray[np.float32], rows: Sequence[int], generation: int
    ) -> NDArray[np.float32]:
        """The cosine of each of these rows, NaN for one that is not there."""
        if await self._asks_there(generation):
            try:
                return await self._mirror.cosines(vector, rows)
            except PenstockError as error:
                self._note(error)
        return await self._here.cosines(vector, rows, generation)

    async def _asks_there(self, generation: int) -> bool:
        rests = self._mirror.trouble is not None and time.monotonic() < self._again_at
        return not rests and await self._mirror.holds(generation)

    def _note(self, error: PenstockError) -> None:
        self._again_at = time.monotonic() + PATIENCE
        logger.warning("searches go on in the knowledge's own file: %s", error)
