"""The vectors of a knowledge base copied elsewhere, and the proof that searches find the same there."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import ConfigError, StorageError
from penstock.knowledge.stores.external.mirror import Elsewhere, Mirror, Progress
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors.embedded import EmbeddedVectors
from penstock.knowledge.values import EVERYTHING, Scope
from penstock.seams import Embedder, VectorHits

SAMPLES = 200
NEAREST = 10
SAME = 0.99
"""Share of the nearest that must be the same: databases search graphs, and may order equals otherwise."""
EQUAL = 1e-4
CLOSE = 0.01
"""By how much a cosine may differ: some keep vectors in 16 bits."""


class Proof(Struct, frozen=True, kw_only=True):
    """What was compared: `sampled` searches for `NEAREST` passages each.

    `recall` is the share of them that are found there, too, `cosine_error` the largest difference of a cosine.
    All passages were read back: those `missing`, those `extra`, and those `changed` in vector, metadata or readers.
    """

    generation: int
    passages: int
    sampled: int
    recall: float
    cosine_error: float
    missing: int
    extra: int
    changed: int

    @property
    def holds(self) -> bool:
        same = not (self.missing or self.extra or self.changed)
        return same and self.recall >= SAME and self.cosine_error <= CLOSE


async def move(
    store: SqliteStore, embedder: Embedder, there: Elsewhere, progress: Progress = lambda copied: None
) -> Proof:
    """Copies every generation that is kept, and proves that searches of the published one find the same there.

    What lay there under the same name is deleted first. Raises `ConfigError` where nothing was taken in, or with
    another embedder, `StorageError` where the proof fails, and what the database raises; nothing here is changed.
    """
    published = store.published()
    if not published.number:
        raise ConfigError("Nothing was taken in yet.", hint="Run `penstock ingest` first.")
    if published.fingerprint != embedder.fingerprint:
        raise ConfigError("The vectors are those of another embedder.", hint="Run `penstock ingest` first.")
    mirror = Mirror(store, there, embedder.fingerprint)
    copied = await mirror.copy(progress)
    proof = await prove(store, mirror)
    if not proof.holds:
        raise StorageError(
            f"{there.place} is not the same: {proof.recall:.1%} of the nearest passages are found there, cosines"
            f" differ by up to {proof.cosine_error:.4f}, {proof.missing:,} passages are missing,"
            f" {proof.extra:,} too many and {proof.changed:,} not as they are here.",
            hint="Try again. Nothing was changed here.",
        )
    await mirror.published(copied)
    return proof


async def prove(store: SqliteStore, mirror: Mirror) -> Proof:
    """Compares what is there with what is here, passage by passage and by searches between passages."""
    here = EmbeddedVectors(store)
    try:
        generation = store.published().number
        scope = Scope(generation, EVERYTHING)
        rows = await here.rows(generation)
        compared = await mirror.compare(store.newest().number)
        queries = between(await mirror.some_vectors(generation, 2 * SAMPLES))
        same = wanted = 0
        error = 0.0
        for query in queries:
            exact = await here.search(query, NEAREST, scope)
            found = await mirror.search(query, NEAREST, scope)
            wanted += len(exact.rows)
            same += agreeing(exact, found)
            error = max(error, furthest(exact, found))
        return Proof(
            generation=generation,
            passages=len(rows),
            sampled=len(queries),
            recall=same / wanted if wanted else 1.0,
            cosine_error=error,
            missing=len(compared.missing),
            extra=len(compared.extra),
            changed=len(compared.wrong) - len(compared.missing),
        )
    finally:
        here.close()


def agreeing(exact: VectorHits, found: VectorHits) -> int:
    """How many of what was found belongs there: of passages that are equally near, either may come."""
    if not len(exact.rows):
        return 0
    equal = found.cosines >= exact.cosines[-1] - EQUAL
    return min(len(exact.rows), int((np.isin(found.rows, exact.rows) | equal).sum()))


def furthest(exact: VectorHits, found: VectorHits) -> float:
    """The largest difference between the cosines of what both found."""
    _, here, there = np.intersect1d(exact.rows, found.rows, return_indices=True)
    return float(np.abs(exact.cosines[here] - found.cosines[there]).max()) if len(here) else 0.0


def between(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1 half-way between pairs of passages: like a question, none of them is stored."""
    half = len(vectors) // 2
    mixed = vectors[:half] + vectors[half : 2 * half]
    made: NDArray[np.float32] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
    return made.astype(np.float32)
