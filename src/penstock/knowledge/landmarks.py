"""What the regions of a map are about: words that many of the passages there have and few elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.terms import STOP_WORDS, stem, words

REGIONS = 8
FEWEST = 12
"""Passages of a region, on average."""
WORDS = 2
SHORTEST = 3
ROUNDS = 12

Places = NDArray[np.float32]


class Landmark(Struct, frozen=True):
    """The middle of a region, 0 to 1, and its words, the most telling first."""

    x: float
    y: float
    words: tuple[str, ...]


def landmarks(places: Places, texts: Sequence[str]) -> tuple[Landmark, ...]:
    """The same for the same passages. `places` (n, 2); none where there are too few to tell regions apart."""
    count = min(REGIONS, len(texts) // FEWEST)
    if count < 2:
        return ()
    regions = divided(places, count)
    held = [telling(text) for text in texts]
    everywhere = Counter(root for each in held for root in each)
    forms = Counter(word for each in held for word in each.values())
    usual = {stem(word): word for word, _ in reversed(forms.most_common())}
    found = []
    for region in range(count):
        inside = np.flatnonzero(regions == region)
        here = Counter(root for at in inside for root in held[at])
        outside = max(1, len(texts) - len(inside))
        shares = {
            root: number / len(inside) - (everywhere[root] - number) / outside for root, number in here.items()
        }
        best = apart(usual[root] for root in sorted(shares, key=lambda root: (-shares[root], root)))
        if best:
            x, y = np.median(places[inside], axis=0).tolist()
            found.append(Landmark(round(x, 4), round(y, 4), best))
    return tuple(found)


def apart(ranked: Iterable[str]) -> tuple[str, ...]:
    """The first words, without those that are another form of one before."""
    found: list[str] = []
    for word in ranked:
        if not any(word.startswith(other) or other.startswith(word) for other in found):
            found.append(word)
        if len(found) == WORDS:
            break
    return tuple(found)


def divided(places: Places, count: int) -> NDArray[np.int64]:
    """The region of each place, by k-means from places that lie far apart (Gonzalez 1985, Lloyd 1982)."""
    centres = places[[int(np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1)))]]
    for _ in range(count - 1):
        centres = np.concatenate([centres, places[[int(np.argmax(squares(places, centres).min(axis=1)))]]])
    for _ in range(ROUNDS):
        regions = squares(places, centres).argmin(axis=1)
        centres = np.array(
            [
                places[regions == at].mean(axis=0) if np.any(regions == at) else centre
                for at, centre in enumerate(centres)
            ]
        )
    return np.asarray(squares(places, centres).argmin(axis=1), dtype=np.int64)


def squares(places: Places, centres: Places) -> NDArray[np.float32]:
    """The squared distance of each place to each centre."""
    found: NDArray[np.float32] = ((places[:, None] - centres[None]) ** 2).sum(axis=2)
    return found


def telling(text: str) -> dict[str, str]:
    """The words of a passage by their stems, without those that any text has, and without numbers."""
    return {
        stem(word): word
        for word in words(text)
        if word not in STOP_WORDS and len(word) >= SHORTEST and not word[0].isdigit()
    }
