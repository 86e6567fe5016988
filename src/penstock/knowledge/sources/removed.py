"""A source that is no longer in the configuration: its documents go with the next run."""

from __future__ import annotations

from pathlib import Path

from penstock.errors import NotFound
from penstock.knowledge.sources.base import Item, Listing


class RemovedSource:
    """Whoever removed its table meant all of its documents, so a run may delete them all. A slip in the name of a
    table costs no more than a listing: what comes back under another name is neither read nor embedded again."""

    max_delete = 1.0

    def __init__(self, name: str) -> None:
        self.name = name

    async def list(self, cursor: bytes) -> Listing:
        return Listing(items=())

    async def fetch(self, item: Item, folder: Path) -> Path:
        raise NotFound(f"{self.name} is no longer configured.")

    async def close(self) -> None: ...
