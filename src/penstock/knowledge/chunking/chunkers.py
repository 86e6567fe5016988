"""The chunker of each strategy, and the one call that everybody makes."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.knowledge.chunking.structure import cut_structure
from penstock.knowledge.chunking.tokens import Estimate, MeasuredText, Tokenizer
from penstock.knowledge.chunking.values import Block, ChunkOptions, Passage


def chunk(
    text: str, blocks: Sequence[Block], options: ChunkOptions, tokenizer: Tokenizer | None = None
) -> list[Passage]:
    """Cuts a text into passages, in order; `text[start:end]` is the passage.

    `blocks` are in order and do not overlap; text that none of them covers is taken as paragraphs.
    """
    measured = MeasuredText(text, tokenizer or Estimate())
    return cut_structure(measured, blocks, options.tokens)
