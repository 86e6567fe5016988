"""The mix of both scores: the cosine of the vectors, and how much of the question's words a passage holds.

Both are shares from 0 to 1 that mean the same for every question, so a fixed weight mixes them. The default was
chosen on paragraphs of SQuAD 2.0 that are not in the retrieval benchmark; an app's own is for `knowledge tune`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.values import Mode

VECTOR_WEIGHT = 0.5
WEIGHTS: dict[Mode, float] = {"dense": 1.0, "text": 0.0}


def mix(cosine: float, text_score: float, weight: float = VECTOR_WEIGHT) -> float:
    """The convex mix of both scores, 0 to 1."""
    return weight * min(1.0, max(0.0, cosine)) + (1 - weight) * text_score


class Candidate(Struct, frozen=True):
    """A passage worth a closer look; `cosine` is `None` where vectors were not searched."""

    row: int
    cosine: float | None
    words: float


def best_candidates(candidates: Iterable[Candidate], weight: float, limit: int) -> list[Candidate]:
    """The highest mixed scores; equal ones in the order of the documents."""
    ordered = sorted(candidates, key=lambda each: each.row)
    scores = np.array([mix(each.cosine or 0.0, each.words, weight) for each in ordered], dtype=np.float64)
    return [ordered[at] for at in best_first(scores, limit)]


def best_first(scores: NDArray[np.floating], limit: int) -> list[int]:
    """Positions of the highest scores; equal ones as they stand."""
    limit = min(limit, len(scores))
    if limit <= 0:
        return []
    threshold = np.partition(scores, -limit)[-limit]
    candidates = np.flatnonzero(scores >= threshold)
    order = np.argsort(-scores[candidates], kind="stable")
    return [int(at) for at in candidates[order][:limit]]


def joined(rows: Sequence[int], cosines: NDArray[np.float32], words: dict[int, float]) -> list[Candidate]:
    """Passages with their cosines and what their words are worth; a NaN is a passage without a vector."""
    return [
        Candidate(row, None if np.isnan(cosine) else float(cosine), words.get(row, 0.0))
        for row, cosine in zip(rows, cosines, strict=True)
    ]
