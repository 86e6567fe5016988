"""Cuts where the meaning changes: as along the structure, with the vectors of grains in place of their words.

The vectors come from whoever runs the encoder, so this is done in two steps: the process that reads files finds
the grains, the one that embeds joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.knowledge.chunking.cohesion import joined
from penstock.knowledge.chunking.structure import grains_of
from penstock.knowledge.chunking.tokens import Estimate, MeasuredText, Tokenizer
from penstock.knowledge.chunking.units import Unit, pieces
from penstock.knowledge.chunking.values import Block, ChunkOptions

if TYPE_CHECKING:  # the process that reads files has no memory to spare
    import numpy as np
    from numpy.typing import NDArray


def semantic_grains(
    text: str, blocks: Sequence[Block], options: ChunkOptions, tokenizer: Tokenizer | None = None
) -> list[Unit]:
    """The pieces whose texts are to be embedded, in order."""
    return grains_of(MeasuredText(text, tokenizer or Estimate()), blocks, options.tokens, pieces)


def join_by_meaning(
    grains: Sequence[Unit], vectors: Sequence[NDArray[np.float32]], options: ChunkOptions
) -> list[tuple[int, int]]:
    """Passages as ranges of grains; `vectors` has one of length 1 for each."""

    def likeness(one: int, other: int) -> float:
        return float(vectors[one] @ vectors[other])

    return joined(grains, likeness, options.tokens)
