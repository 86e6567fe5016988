"""The default executor: files are read by child processes of this one, as many as there are cores."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from penstock.errors import EngineStopped
from penstock.knowledge.loaders.messages import ReadRequest, ReadResult
from penstock.knowledge.loaders.process import FileReader
from penstock.knowledge.values import KnowledgeOptions
from penstock.seams import Embedder, Embeddings


class ProcessExecutor:
    """Children start when they are needed, so a run that finds one changed file starts one."""

    def __init__(self, embedder: Embedder, options: KnowledgeOptions, workers: int | None = None) -> None:
        self.workers = workers or cores()
        self._embedder = embedder
        self._options = options
        self._free: list[FileReader] = []
        self._all: list[FileReader] = []
        self._places = asyncio.Semaphore(self.workers)

    async def read(self, request: ReadRequest) -> ReadResult:
        async with self._places:
            reader = self._free.pop() if self._free else self._another()
            try:
                return await reader.read(request)
            finally:
                self._free.append(reader)

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds, and tries a second time where the encoder died of something else and is back."""
        try:
            return await self._embedder.embed(texts)
        except EngineStopped:
            return await self._embedder.embed(texts)

    async def stop(self) -> None:
        await asyncio.gather(*(reader.stop() for reader in self._all))

    def _another(self) -> FileReader:
        reader = FileReader(self._options)
        self._all.append(reader)
        return reader


def cores() -> int:
    """Processors that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
