"""A source whose documents are fetched once, however often they are read."""

from __future__ import annotations

import shutil
from pathlib import Path

from penstock.knowledge.sources.base import Item, Listing, Source


class KeptSource:
    """Lists and fetches from another source the first time, and from `folder` after that. `Source`."""

    max_delete = 1.0

    def __init__(self, source: Source, folder: Path) -> None:
        self.name = f"kept.{source.name}"
        self._source = source
        self._folder = folder
        self._listing: Listing | None = None
        self._files: dict[bytes, Path] = {}

    async def list(self, cursor: bytes) -> Listing:
        if self._listing is None:
            self._listing = await self._source.list(b"")
        return self._listing

    async def fetch(self, item: Item, folder: Path) -> Path:
        """The file stays: it is not in the caller's folder."""
        if item.location not in self._files:
            found = await self._source.fetch(item, folder)
            if found.parent == folder:
                kept = self._folder / f"{len(self._files)}{found.suffix}"
                found = Path(shutil.move(found, kept))
            self._files[item.location] = found
        return self._files[item.location]

    async def close(self) -> None:
        await self._source.close()
