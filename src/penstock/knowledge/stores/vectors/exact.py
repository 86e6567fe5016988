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

AT_ONCE = 65_536
"""Vectors that are gathered at a time: 50 MB of 384 dimensions."""
SPARE = 64
"""Candidates beyond twice those wanted, for what the rounded query puts in another order."""


def scan(vectors: Vectors, vector: Vector) -> Scores:
    """The cosine of each vector to another one, with that one rounded to half precision."""
    if not len(vectors):
        return np.zeros(0, dtype=np.float32)
    rounded = vector.astype(np.float16)[None]
    scores: Scores = np.asarray(numkong.cdist(rounded, vectors, "inner"))[0].astype(np.float32)
    return scores


def scan_at(vectors: Vectors, positions: Positions, vector: Vector) -> Scores:
    """The same for some of the vectors."""
    pieces = [
        scan(vectors[positions[start : start + AT_ONCE]], vector) for start in range(0, len(positions), AT_ONCE)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, dtype=np.float32), *pieces])


def rescored(vectors: Vectors, positions: Positions, vector: Vector) -> Scores:
    """The cosines of a few vectors, in single precision."""
    scores: Scores = vectors[positions].astype(np.float32) @ vector
    return scores


def spared(k: int) -> int:
    """How many candidates to take from a scan when `k` are wanted."""
    return 2 * k + SPARE


def highest(scores: Scores, k: int) -> Positions:
    """Where the k highest scores are, in no order."""
    if k >= len(scores):
        return np.arange(len(scores))
    return np.argpartition(scores, len(scores) - k)[len(scores) - k :]
