"""Small convex fits in numpy: weights that no library is needed for, made the same way every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.ranking import LinearModel

Array = NDArray[np.float64]
STEPS = 600
RATE = 0.05


def fit_choice(names: Sequence[str], groups: Sequence[tuple[Array, Array]], penalty: float) -> LinearModel:
    """Weights, none negative, under which the softmax of each group puts its mass on the rows marked 1."""
    rows = np.concatenate([features for features, _ in groups])
    scale = rows.std(axis=0) + 1e-9
    wanted = np.concatenate([marks / marks.sum() for _, marks in groups])
    lengths = [len(marks) for _, marks in groups]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    group = np.repeat(np.arange(len(groups)), lengths)
    rows = rows / scale

    def gradient(weights: Array) -> Array:
        logits = rows @ weights
        odds = np.exp(logits - np.maximum.reduceat(logits, starts)[group])
        shares = odds / np.add.reduceat(odds, starts)[group]
        return np.asarray(rows.T @ (shares - wanted) + penalty * weights)

    weights = descend(gradient, rows.shape[1])
    return named(names, weights / scale)


def fit_logistic(names: Sequence[str], features: Array, labels: Array, penalty: float) -> LinearModel:
    """A logistic regression whose weights are not negative; its bias is not penalised."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    rows = np.c_[(features - mean) / scale, np.ones(len(features))]
    penalties = np.r_[np.full(features.shape[1], penalty), 0.0]

    def gradient(weights: Array) -> Array:
        expected = 1 / (1 + np.exp(-(rows @ weights)))
        return np.asarray(rows.T @ (expected - labels) + penalties * weights)

    weights = descend(gradient, rows.shape[1], free=1)
    bias = float(weights[-1] - (weights[:-1] * mean / scale).sum())
    return named(names, weights[:-1] / scale, bias)


def descend(gradient: object, size: int, free: int = 0) -> Array:
    """Adam, projected to weights that are not negative but for the last `free`."""
    weights, mean, square = np.zeros(size), np.zeros(size), np.zeros(size)
    for step in range(1, STEPS + 1):
        slope = gradient(weights)  # type: ignore[operator]
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope * slope
        rate = RATE * (1 - step / (STEPS + 1))
        weights = weights - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-9)
        weights[: size - free] = np.maximum(weights[: size - free], 0.0)
    return weights


def named(names: Sequence[str], weights: Array, bias: float = 0.0) -> LinearModel:
    kept = {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True) if weight > 1e-4}
    return LinearModel(kept, round(bias, 4))


def area_under_curve(scores: Array, labels: NDArray[np.bool_] | Array) -> float:
    """The chance that a positive scores above a negative."""
    positive = np.asarray(labels, dtype=bool)
    ranks = np.argsort(np.argsort(scores)).astype(float)
    ones, zeros = positive.sum(), (~positive).sum()
    if not ones or not zeros:
        return 0.0
    return round(float((ranks[positive].sum() - ones * (ones - 1) / 2) / (ones * zeros)), 4)


def calibration_error(scores: Array, labels: Array, bins: int = 10) -> float:
    """The mean gap between the probability stated and the share that came true, over equal bins."""
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [
        abs(scores[bin_of == at].mean() - labels[bin_of == at].mean()) * (bin_of == at).sum()
        for at in range(bins)
        if (bin_of == at).any()
    ]
    return round(float(sum(gaps) / len(scores)), 4)
