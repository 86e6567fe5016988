"""A second look at the passages found: a reranker reads each together with the question, within a deadline.

It makes a good order better and is never what an answer waits for: where it is late or fails, the order stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.errors import PenstockError
from penstock.knowledge.values import Hit
from penstock.seams import Reranker, Tracer

READ = 30
"""Passages that are read; the others are not shown."""

PATIENCE = 3.0
"""Seconds."""


async def reranked(
    reranker: Reranker | None, question: str, hits: Sequence[Hit], tracer: Tracer | None, patience: float = PATIENCE
) -> list[Hit]:
    """The hits by the reranker's scores, which become theirs; as they came where it has none in time."""
    if reranker is None or not hits:
        return list(hits)
    opened = (
        contextlib.nullcontext()
        if tracer is None
        else tracer.span("rerank", "reranker", model=reranker.name, query=question, documents=len(hits))
    )
    with opened as span:
        try:
            async with asyncio.timeout(patience):
                scores = checked(await reranker.rerank(question, [hit.text for hit in hits]), len(hits), reranker)
        except (PenstockError, TimeoutError) as error:
            if span is not None:
                why = f"no scores within {patience:g} s" if isinstance(error, TimeoutError) else str(error)
                span.set(**{"penstock.rerank.failed": why})
            return list(hits)
        order = sorted(range(len(hits)), key=lambda at: -scores[at])
        found = [replace(hits[at], score=scores[at], rerank_score=scores[at]) for at in order]
        if span is not None:
            span.set(scores=[round(hit.score, 4) for hit in found])
        return found


def checked(scores: NDArray[np.float32], count: int, reranker: Reranker) -> list[float]:
    """The scores, each from 0 to 1. Raises `PenstockError` for what are none: it may be anybody's service."""
    values = [float(score) for score in scores]
    if len(values) != count or not all(map(math.isfinite, values)):
        raise PenstockError(f"reranker {reranker.name!r} gave {len(values)} scores for {count} passages.")
    return [min(1.0, max(0.0, value)) for value in values]
