"""What stands on the token vectors of a transformer: one vector of length 1 for a text, or one score for a pair.

Nodes of OpenVINO graphs. Shapes: B texts, S tokens of the longest, H hidden size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset16 as ops

from penstock.models.encoders.messages import Pooling


def pooled(hidden: Any, mask: Any, pooling: Pooling) -> Any:
    """Token vectors (B, S, H) and a mask (B, S), 1 for a token and 0 for padding behind them, to (B, H)."""
    if pooling == "cls":
        return ops.gather(hidden, ops.constant(0, np.int32), ops.constant(1, np.int32))
    if pooling == "last":
        counts = ops.reduce_sum(ops.convert(mask, np.int32), ops.constant(1, np.int32))
        last = ops.subtract(counts, ops.constant(1, np.int32))
        return ops.gather(hidden, last, ops.constant(1, np.int32), batch_dims=1)
    weights = ops.unsqueeze(ops.convert(mask, np.float32), ops.constant(2, np.int32))
    # The sum has the direction of the mean, and only that is kept.
    return ops.reduce_sum(ops.multiply(hidden, weights), ops.constant(1, np.int32))


def unit(vectors: Any) -> Any:
    """Vectors (B, H) brought to length 1."""
    return ops.normalize_l2(vectors, ops.constant([1], np.int64), 1e-12, "max")


def probability(logits: Any) -> Any:
    """A score from 0 to 1 of a logit, of any shape."""
    return ops.sigmoid(logits)
