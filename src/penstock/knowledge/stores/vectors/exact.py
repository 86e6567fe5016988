"""Cosines by looking at every vector, with SIMD over half-precision values (numkong).

Vectors of length 1 are kept as float16: half the memory and bandwidth of float32, and a cosine off by 2e-4 at most.
The query is rounded for the scan only; what it finds is scored again with the query as it is.
"""

from __future__ import annotations

import numkong
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float16]
Vector = NDArray[np.float32]
Scores = NDArray[np.float32]
Positions = NDArray[np.int64]

AT_ONCE = 512
"""Vectors that are gathered at a time, into memory that stays in the cache: three times as fast as all at once."""
SPARE = 64
"""Candidates beyond twice those wanted, for what the rounded query puts in another order."""
SPARE_OF_FEW = 16
"""The same among the few hundred that a graph found, which lie much farther apart."""


def scan(vectors: Vectors, vector: Vector) -> Scores:
    """The cosine of each vector to another one, with that one rounded to half precision."""
    if not len(vectors):
        return np.zeros(0, dtype=np.float32)
    rounded = vector.astype(np.float16)[None]
    scores: Scores = np.asarray(numkong.cdist(rounded, vectors, "inner"))[0].astype(np.float32)
    return scores


def scan_at(vectors: Vectors, positions: Positions, vector: Vector) -> Scores:
    """The same for some of the vectors."""
    scores = np.empty(len(positions), dtype=np.float32)
    gathered = np.empty((min(AT_ONCE, len(positions)), vectors.shape[1]), dtype=np.float16)
    rounded = vector.astype(np.float16)[None]
    for start in range(0, len(positions), AT_ONCE):
        at = positions[start : start + AT_ONCE]
        piece = np.take(vectors, at, axis=0, out=gathered[: len(at)], mode="clip")
        scores[start : start + len(at)] = np.asarray(numkong.cdist(rounded, piece, "inner"))[0]
    return scores


def rescored(vectors: Vectors, positions: Positions, vector: Vector) -> Scores:
    """The cosines of a few vectors, in single precision."""
    scores: Scores = vectors[positions].astype(np.float32) @ vector
    return scores


def sifted(vectors: Vectors, positions: Positions, vector: Vector, k: int) -> Positions:
    """Those of a few hundred vectors that may be among the `k` nearest, in no order. Bringing all of them to single
    precision takes as long as the graph does that found them."""
    kept = 2 * k + SPARE_OF_FEW
    if len(positions) <= kept:
        return positions
    return positions[highest(scan_at(vectors, positions, vector), kept)]


def spared(k: int) -> int:
    """How many candidates to take from a scan when `k` are wanted."""
    return 2 * k + SPARE


def highest(scores: Scores, k: int) -> Positions:
    """Where the k highest scores are, in no order."""
    if k >= len(scores):
        return np.arange(len(scores))
    return np.argpartition(scores, len(scores) - k)[len(scores) - k :]
