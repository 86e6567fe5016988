"""Questions that mean the same, kept together as they come in.

A question joins the group whose centre is nearest, where that is near enough, else it begins one of its own. So a
group keeps its identity as it grows, which a clustering made anew each time would not give. The bound was chosen on
the utterances of 75 intents and checked on those of 75 others (`benchmarks/gaps.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.terms import STOP_WORDS, stem, words

NEAR = 0.48
"""Cosine of a question and the centre of its group, at least."""

CENTRAL = 0.9
"""How near to the centre, beside the nearest question, one is that may give its group the name."""

TERMS = 4

Vector = NDArray[np.float32]


class Group(Struct):
    """Questions that belong together: the sum of their vectors, and how many they are."""

    id: str
    total: Vector
    count: int

    def add(self, vector: Vector) -> None:
        self.total = self.total + vector
        self.count += 1


class Groups:
    """The groups there are, to find the one that a question belongs to. Vectors are of length 1."""

    def __init__(self, groups: Sequence[Group], near: float = NEAR) -> None:
        self._groups = list(groups)
        self._near = near

    def nearest(self, vector: Vector) -> Group | None:
        """The group that a question belongs to; `None` where it is unlike all."""
        if not self._groups:
            return None
        centres = np.stack([group.total / max(float(np.linalg.norm(group.total)), 1e-9) for group in self._groups])
        cosines = centres @ vector
        best = int(np.argmax(cosines))
        return self._groups[best] if cosines[best] >= self._near else None

    def begin(self, id: str, vector: Vector) -> Group:
        """A new group with its first question."""
        self._groups.append(Group(id, vector, 1))
        return self._groups[-1]


def name_of(texts: Sequence[str], vectors: NDArray[np.float32], telling: Sequence[str]) -> str:
    """The question that stands for all: of those near their centre and with the most telling word the shortest,
    for what a longer one adds is its own; the first of equals."""
    closeness = vectors @ vectors.sum(axis=0)
    central = np.flatnonzero(closeness >= CENTRAL * closeness.max())
    wanted = stem(telling[0]) if telling else ""
    return min((texts[at] for at in central.tolist()), key=lambda text: (wanted not in content(text), len(text)))


def telling_terms(texts: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The words that these questions share and others do not use, most telling first, in their most usual form."""
    inside = Counter(root for text in texts for root in content(text))
    outside = Counter(root for text in others for root in content(text))
    forms = Counter(word for text in texts for word in content(text).values())
    shares = {
        root: count / len(texts) - outside[root] / max(1, len(others))
        for root, count in inside.items()
        if count * 2 > len(texts)
    }
    usual = {stem(word): word for word, _ in reversed(forms.most_common())}
    return tuple(usual[root] for root in sorted(shares, key=lambda root: -shares[root])[:TERMS])


def content(text: str) -> dict[str, str]:
    """The telling words of a question by their stems, in order."""
    return {stem(word): word for word in words(text) if word not in STOP_WORDS and len(word) > 1}
