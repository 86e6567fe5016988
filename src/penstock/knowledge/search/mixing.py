"""The mix of both scores: the cosine of the vectors, and how much of the question's words a passage holds.

Both are shares from 0 to 1 that mean the same for every question, so a fixed weight mixes them. The default was
chosen on paragraphs of SQuAD 2.0 that are not in the retrieval benchmark; an app's own is for `knowledge tune`.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.values import Mode

VECTOR_WEIGHT = 0.5
WEIGHTS: dict[Mode, float] = {"dense": 1.0, "text": 0.0}


def mix(cosine: float, text_score: float, weight: float = VECTOR_WEIGHT) -> float:
    """The convex mix of both scores, 0 to 1."""
    return weight * min(1.0, max(0.0, cosine)) + (1 - weight) * text_score


class Weighed(Struct, frozen=True):
    """Passages by row, each once, and a value each."""

    rows: NDArray[np.int64]
    values: NDArray[np.floating]


NOTHING = Weighed(np.zeros(0, dtype=np.int64), np.zeros(0))


class Candidates(Struct, frozen=True):
    """Passages worth a closer look, by row: `cosines`, NaN for one without a vector, and what `words` are worth."""

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]
    words: NDArray[np.float64]

    def best(self, weight: float, limit: int) -> Candidates:
        """Those with the highest mixed scores, best first; equal ones in the order of the documents."""
        cosines = np.clip(np.nan_to_num(self.cosines.astype(np.float64)), 0.0, 1.0)
        at = best_first(weight * cosines + (1 - weight) * self.words, limit)
        return Candidates(self.rows[at], self.cosines[at], self.words[at])


def best_first(scores: NDArray[np.floating], limit: int) -> NDArray[np.int64]:
    """Positions of the highest scores; equal ones as they stand."""
    limit = min(limit, len(scores))
    if limit <= 0:
        return np.zeros(0, dtype=np.int64)
    threshold = np.partition(scores, -limit)[-limit]
    above = np.flatnonzero(scores > threshold)
    above = above[np.argsort(-scores[above], kind="stable")]
    best: NDArray[np.int64] = np.concatenate([above, np.flatnonzero(scores == threshold)[: limit - len(above)]])
    return best


def joined(near: Weighed, cosines: NDArray[np.floating], by_words: Weighed) -> Candidates:
    """Passages near by vector, and those that words lead to with their cosines, each once."""
    rows = np.union1d(near.rows, by_words.rows)
    own = np.full(len(rows), np.nan, dtype=np.float32)
    own[np.searchsorted(rows, by_words.rows)] = cosines
    own[np.searchsorted(rows, near.rows)] = near.values
    return Candidates(rows, own, worth(rows, by_words))


def unseen(by_words: Weighed) -> Candidates:
    """Passages that words alone lead to."""
    rows = np.sort(by_words.rows)
    return Candidates(rows, np.full(len(rows), np.nan, dtype=np.float32), worth(rows, by_words))


def worth(rows: NDArray[np.int64], by_words: Weighed) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.zeros(len(rows))
    values[np.searchsorted(rows, by_words.rows)] = by_words.values
    return values
