"""From `[knowledge.NAME]` to what chunkers are told, with the tokenizer of the encoder where it is at hand."""

from __future__ import annotations

from penstock.config.chunking import ChunkingSettings
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.chunking.vocabulary import digest_of
from penstock.seams import Embedder, OwnTokenizer


def chunking_of(settings: ChunkingSettings, embedder: Embedder) -> ChunkOptions:
    file = embedder.tokenizer if isinstance(embedder, OwnTokenizer) else None
    return ChunkOptions(
        strategy=settings.chunking,
        tokens=settings.chunk_tokens,
        overlap=settings.chunk_overlap,
        sentences=settings.chunk_sentences,
        parent_tokens=settings.parent_tokens,
        vocabulary=str(file) if file else "",
        vocabulary_digest=digest_of(file) if file else "",
    )
