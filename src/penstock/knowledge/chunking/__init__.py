"""Text to passages: one seam, several ways to cut. `chunk` chooses by the options."""

from penstock.knowledge.chunking.chunkers import chunk
from penstock.knowledge.chunking.tokens import Tokenizer, estimate_tokens
from penstock.knowledge.chunking.values import (
    Block,
    BlockKind,
    ChunkOptions,
    Passage,
    Strategy,
    embedding_text,
)

__all__ = [
    "Block",
    "BlockKind",
    "ChunkOptions",
    "Passage",
    "Strategy",
    "Tokenizer",
    "chunk",
    "embedding_text",
    "estimate_tokens",
]
