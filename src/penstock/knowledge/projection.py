"""Vectors of many dimensions on a plane: the two directions in which they differ most (principal components)."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

EDGE = 0.005
"""Share of points on each side that may lie beyond the border: a few strays would make all others one spot."""


class Plane(Struct, frozen=True):
    """`axes` (2, dimensions) through `mean`; `low` and `high` (2,) are the borders of what is shown. `shown` is the
    share of the variance along the axes, 0 to 1."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    shown: float

    @classmethod
    def through(cls, vectors: NDArray[np.float32]) -> Plane:
        """The plane of these vectors, float32 (n, dimensions); the same every time for the same vectors."""
        wide = vectors.astype(np.float64)
        count, dimensions = wide.shape
        mean = wide.mean(axis=0) if count else np.zeros(dimensions)
        centred = wide - mean
        variances, directions = (
            np.linalg.eigh(centred.T @ centred) if dimensions else (np.zeros(0), np.zeros((0, 0)))
        )
        axes = np.zeros((2, dimensions))
        chosen = directions[:, ::-1][:, :2].T
        axes[: len(chosen)] = [each * (np.sign(each[np.argmax(np.abs(each))]) or 1.0) for each in chosen]
        total = float(variances.sum())
        spots = centred @ axes.T
        low, high = np.quantile(spots, [EDGE, 1 - EDGE], axis=0) if count else (np.zeros(2), np.ones(2))
        shown = float(variances[::-1][:2].sum()) / total if total > 1e-12 else 1.0
        return cls(mean, axes, low, high, shown)

    def places(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where vectors lie: float32 (n, 2) from 0 to 1; what is beyond the border is put on it."""
        if not len(vectors):
            return np.zeros((0, 2), dtype=np.float32)
        spots = (vectors.astype(np.float64) - self.mean) @ self.axes.T
        extent = self.high - self.low
        shares = np.where(extent > 1e-9, (spots - self.low) / np.where(extent > 1e-9, extent, 1.0), 0.5)
        return np.clip(shares, 0.0, 1.0).astype(np.float32)
