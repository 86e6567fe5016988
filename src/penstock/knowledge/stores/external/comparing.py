"""A passage here held against what a vector database has of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.stores.external.base import StoredPoint, about_of
from penstock.knowledge.stores.external.clauses import ADDED, NEVER, REMOVED

Aspect = Literal["vector", "metadata", "readers", "generations"]
CLOSE = 1e-3
"""By how much a value of a vector of length 1 may differ: some databases keep 16 bits of it."""


class Compared(Struct, frozen=True):
    """Passages that are here and not there, there and not here, and those of which something differs."""

    missing: tuple[int, ...]
    extra: tuple[int, ...]
    changed: Mapping[Aspect, tuple[int, ...]]

    @property
    def wrong(self) -> frozenset[int]:
        """What is to be written once more."""
        return frozenset(self.missing).union(*self.changed.values())

    @property
    def same(self) -> bool:
        return not self.wrong and not self.extra

    def reasons(self) -> list[str]:
        """What differs, in words."""
        said = {
            "not there": self.missing,
            "there and not here": self.extra,
            "another vector there": self.changed.get("vector", ()),
            "other metadata there": self.changed.get("metadata", ()),
            "other readers there": self.changed.get("readers", ()),
            "other generations there": self.changed.get("generations", ()),
        }
        return [
            f"{what}: {len(rows):,} passage{'' if len(rows) == 1 else 's'}" for what, rows in said.items() if rows
        ]


def aspects(here: StoredPoint, there: StoredPoint, newest: int) -> list[Aspect]:
    """What of a point is not as it is here. What came or went after generation `newest` is not compared: it was
    not published, and the next run writes it."""
    found: list[Aspect] = []
    if here.vector.shape != there.vector.shape or np.abs(unit(here.vector) - unit(there.vector)).max() > CLOSE:
        found.append("vector")
    if described(here) != described(there):
        found.append("metadata")
    if allowed(here) != allowed(there):
        found.append("readers")
    if shown(here, newest) != shown(there, newest):
        found.append("generations")
    return found


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    made: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return made


def described(point: StoredPoint) -> object:
    words = frozenset(word for word in point.words if not word.startswith("@"))
    numbers = {name: value for name, value in point.numbers.items() if name not in (ADDED, REMOVED)}
    return words, numbers, about_of(point.about).metadata


def allowed(point: StoredPoint) -> object:
    words = frozenset(word for word in point.words if word.startswith("@"))
    return words, point.readers, about_of(point.about).readers


def shown(point: StoredPoint, newest: int) -> object:
    removed = point.numbers.get(REMOVED, 0)
    return point.numbers.get(ADDED), NEVER if removed > newest else removed
