"""The gaps of one app: what the store keeps, with the encoder that groups and the app that is asked again."""

from __future__ import annotations

import asyncio
import logging

from penstock.errors import PenstockError
from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.gaps.store import GapStore
from penstock.knowledge.gaps.values import Gap, GapQuestion, GapState, Judge, Rechecked
from penstock.seams import Embedder

logger = logging.getLogger(__name__)


class Gaps:
    """`days` is how long questions are kept: as long as their traces."""

    def __init__(self, store: GapStore, embedder: Embedder, judge: Judge, *, days: int) -> None:
        self._store = store
        self._embedder = embedder
        self._judge = judge
        self._days = days
        self._checking = asyncio.Lock()

    async def gaps(self, project_id: str, knowledge: str, state: GapState | None, limit: int) -> list[Gap]:
        """Gaps of a project, what was asked since the last look among them; `None` is any state."""
        await self._store.collect(project_id, knowledge, self._embedder, days=self._days)
        return await self._store.gaps(project_id, knowledge, state, limit)

    async def get(self, project_id: str, knowledge: str, gap_id: str) -> tuple[Gap, list[GapQuestion]]:
        """Raises `NotFound`."""
        return await self._store.get(project_id, knowledge, gap_id)

    async def set_state(self, project_id: str, gap: Gap, state: GapState, note: str = "") -> Gap:
        """Dismisses a gap, or opens it again."""
        await self._store.set_state(gap, state, note)
        changed, _ = await self._store.get(project_id, gap.knowledge, gap.id)
        return changed

    async def recheck(self, knowledge: str) -> Rechecked:
        """Asks every open question again, and forgets those whose traces are gone."""
        async with self._checking:
            await self._store.prune(self._days)
            await self._store.collect(LOCAL_PROJECT, knowledge, self._embedder, days=self._days)
            return await self._store.recheck(knowledge, self._judge)

    async def after_ingestion(self, knowledge: str) -> None:
        """As `recheck`, where a failure is not worth failing for."""
        try:
            result = await self.recheck(knowledge)
        except PenstockError as error:
            logger.warning("the gaps of %s could not be checked: %s", knowledge, error)
            return
        if result.closed:
            logger.info("%s: %d gaps are answered now", knowledge, result.closed)
