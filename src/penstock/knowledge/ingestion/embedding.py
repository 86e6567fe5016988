"""Passages to vectors: each text once, in batches of texts of about the same length."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from penstock.errors import UpstreamFailed
from penstock.knowledge.executors.base import Executor
from penstock.knowledge.ingestion.tally import Tally
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.writes import Pending
from penstock.seams import Embedder

BATCH = 256
"""Texts embedded in one call. Calls do not overlap, so that what shares a batch never depends on the moment."""


class Embedding:
    """Embeds what no document had before. Vectors of documents that are not written yet are remembered by their
    digest, so that a text in two of them is embedded once."""

    def __init__(
        self, store: SqliteStore, executor: Executor, embedder: Embedder, pending: Pending, tally: Tally
    ) -> None:
        self._store = store
        self._executor = executor
        self._embedder = embedder
        self._pending = pending
        self._tally = tally
        self._unwritten: set[bytes] = set()

    async def vectors(self, inputs: Mapping[bytes, str]) -> dict[bytes, bytes]:
        """The vectors that are neither in the store nor on their way there, by digest.

        All but the last batch are written while the next one is embedded, so that a long document is not embedded
        twice after a crash. Raises what the embedder raises, and `UpstreamFailed` for vectors that are none.
        """
        wanted = [digest for digest in inputs if digest not in self._unwritten]
        if not wanted:
            return {}
        known = await asyncio.to_thread(self._store.cached_vectors, self._pending, wanted)
        missing = sorted((digest for digest in wanted if digest not in known), key=lambda each: len(inputs[each]))
        vectors: dict[bytes, bytes] = {}
        for start in range(0, len(missing), BATCH):
            batch = {digest: inputs[digest] for digest in missing[start : start + BATCH]}
            vectors, _ = await asyncio.gather(self._embed(batch), self._keep(vectors))
            self._tally.embedded += len(batch)
            self._tally.report("")
        self._unwritten.update(vectors)
        return vectors

    def written(self, vectors: Mapping[bytes, bytes]) -> None:
        """These are in the store now."""
        self._unwritten.difference_update(vectors)

    async def _keep(self, vectors: Mapping[bytes, bytes]) -> None:
        if vectors:
            await self._store.keep_vectors(self._pending, vectors)

    async def _embed(self, batch: Mapping[bytes, str]) -> dict[bytes, bytes]:
        texts = list(batch.values())
        found = (await self._executor.embed(texts)).vectors
        shape = (len(texts), self._embedder.dimensions)
        if found.shape != shape or not np.isfinite(found).all():
            what = f"{found.shape}" if found.shape != shape else "values that are no numbers"
            raise UpstreamFailed(
                f"The embedder {self._embedder.name} answered {len(texts)} texts with {what} instead of vectors of"
                f" shape {shape}.",
                hint="Nothing was published. Check the model, then run `penstock ingest` again.",
            )
        rows = np.ascontiguousarray(found, dtype="<f4")
        return {digest: row.tobytes() for digest, row in zip(batch, rows, strict=True)}
