"""A source that is made when it is first listed, so that one that lacks its password fails alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.knowledge.sources.base import Item, Listing, Source


class DeferredSource:
    """`make` raises a `ConfigError` where what the source needs is not there."""

    def __init__(self, name: str, max_delete: float, make: Callable[[], Source]) -> None:
        self.name = name
        self.max_delete = max_delete
        self._make = make
        self._source: Source | None = None

    async def list(self, cursor: bytes) -> Listing:
        return await self._made().list(cursor)

    async def fetch(self, item: Item, folder: Path) -> Path:
        return await self._made().fetch(item, folder)

    async def close(self) -> None:
        """The next listing makes another one, by what the environment says then."""
        if self._source is not None:
            source, self._source = self._source, None
            await source.close()

    def _made(self) -> Source:
        if self._source is None:
            self._source = self._make()
        return self._source
