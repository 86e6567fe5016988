"""Strategy `semantic`: what was read comes in grains, which are embedded and joined to passages here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.chunking.semantic import join_by_meaning
from penstock.knowledge.chunking.units import merged
from penstock.knowledge.loaders.messages import CutPassage, ReadResult
from penstock.seams import Embeddings

AT_ONCE = 256
"""Texts embedded in one call."""


async def by_meaning(
    result: ReadResult, options: ChunkOptions, embed: Callable[[Sequence[str]], Awaitable[Embeddings]]
) -> ReadResult:
    """The result with its passages joined; as it is where there is nothing to join. Raises what `embed` raises."""
    if not result.grains:
        return result
    texts = [result.text[grain.start : grain.end] for grain in result.grains]
    rows: list[NDArray[np.float32]] = []
    for start in range(0, len(texts), AT_ONCE):
        rows.extend((await embed(texts[start : start + AT_ONCE])).vectors)
    ranges = await asyncio.to_thread(join_by_meaning, result.grains, rows, options)
    passages = tuple(joined_passage(result, low, high) for low, high in ranges)
    return msgspec.structs.replace(result, passages=passages, grains=())


def joined_passage(result: ReadResult, low: int, high: int) -> CutPassage:
    """One passage of several: it stands where its first grain does."""
    whole = merged(result.grains[low:high])
    return msgspec.structs.replace(result.passages[low], end=whole.end, heading=whole.heading)
