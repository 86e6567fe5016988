"""From `[knowledge.NAME]` to how documents are read and cut, by the encoder's tokenizer where it is at hand."""

from __future__ import annotations

from penstock.config.chunking import ChunkingSettings
from penstock.config.knowledge import KnowledgeSettings
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.chunking.vocabulary import digest_of
from penstock.knowledge.values import KnowledgeOptions
from penstock.seams import Embedder, OwnTokenizer

MB = 1_000_000


def options_of(settings: KnowledgeSettings, embedder: Embedder) -> KnowledgeOptions:
    return KnowledgeOptions(
        chunking=chunking_of(settings, embedder),
        max_file_bytes=int(settings.max_file_mb * MB),
        parse_seconds=settings.parse_seconds,
        parse_memory_bytes=settings.parse_memory_mb * MB,
        ocr_languages=settings.ocr_languages,
        keep_generations=settings.keep_generations,
    )


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
