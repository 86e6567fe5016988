"""The chunker of each strategy, and the one call that everybody makes."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.knowledge.chunking.overlap import overlapping
from penstock.knowledge.chunking.structure import cut_parents, cut_structure
from penstock.knowledge.chunking.syntax import by_syntax
from penstock.knowledge.chunking.tokens import Estimate, MeasuredText, Tokenizer
from penstock.knowledge.chunking.values import Block, ChunkOptions, Passage
from penstock.knowledge.chunking.windows import cut_sentences


def chunk(
    text: str, blocks: Sequence[Block], options: ChunkOptions, tokenizer: Tokenizer | None = None
) -> list[Passage]:
    """Cuts a text into passages, in order; `text[start:end]` is the passage.

    `blocks` are in order and do not overlap; text that none of them covers is taken as paragraphs. Raises
    `ValueError` for strategy `semantic`, which needs vectors: see `semantic.py`.
    """
    document = MeasuredText(text, tokenizer or Estimate())
    passages = cut(document, blocks, options)
    return list(overlapping(document, passages, options.overlap)) if options.overlap else passages


def cut(document: MeasuredText, blocks: Sequence[Block], options: ChunkOptions) -> list[Passage]:
    limit = options.tokens - options.overlap
    match options.strategy:
        case "structure":
            return cut_structure(document, blocks, limit)
        case "sentences":
            return cut_sentences(document, blocks, limit, options.sentences)
        case "code":
            return cut_structure(document, blocks, limit, by_syntax)
        case "parents":
            return cut_parents(document, blocks, limit, options.parent_tokens)
        case "semantic":
            raise ValueError("Strategy 'semantic' needs vectors.")
