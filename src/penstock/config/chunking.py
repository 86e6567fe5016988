"""How `[knowledge.NAME]` cuts its documents into passages."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.table import Table, conflict

STRATEGIES = {"chunk_sentences": "sentences", "parent_tokens": "parents"}
"""Settings that belong to one strategy."""


class ChunkingSettings(Table):
    """Any change re-reads all files."""

    chunking: Literal["structure", "sentences", "semantic", "code", "parents"] = Field(
        "structure",
        description="How documents are cut: `structure` by sections, long ones where their words have least in "
        "common; `semantic` by vectors in place of words, which embeds everything twice; `sentences` in windows of "
        "`chunk_sentences`; `code` source code along its syntax; `parents` in small passages that are found, in "
        "larger ones that are read. Changing any of this re-reads all files.",
    )
    chunk_tokens: int = Field(
        200,
        ge=32,
        le=2048,
        description="Longest passage, in tokens of the embedder; estimated for embedders elsewhere.",
    )
    chunk_overlap: int = Field(
        0, ge=0, le=1024, description="Tokens of a passage's last sentences that the next one begins with."
    )
    chunk_sentences: int = Field(5, ge=1, le=100, description="Sentences of a window, with `sentences`.")
    parent_tokens: int = Field(
        800, ge=64, le=8192, description="Longest passage that is read, in tokens, with `parents`."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, strategy in STRATEGIES.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.chunking != strategy:
                raise conflict(f"is only for chunking = {strategy!r}, not {self.chunking!r}", name)
        if self.chunk_overlap > self.chunk_tokens // 2:
            raise conflict(
                f"must be at most half of chunk_tokens ({self.chunk_tokens // 2}), not {self.chunk_overlap}",
                "chunk_overlap",
            )
        if self.chunk_overlap and self.chunking == "semantic":
            raise conflict("is not for chunking = 'semantic'", "chunk_overlap")
        if self.chunking == "parents" and self.parent_tokens <= self.chunk_tokens:
            raise conflict(f"must be more than chunk_tokens ({self.chunk_tokens})", "parent_tokens")
        return self
