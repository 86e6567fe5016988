"""What goes into a chunker, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

BlockKind = Literal["heading", "paragraph", "code", "table"]

Strategy = Literal["structure", "sentences", "semantic", "code", "parents"]
"""How text is cut: along its structure; in windows of sentences; where its meaning changes; source code along
its syntax; in small passages that are found and larger ones around them that are read."""


REVISION = 3
"""Of the chunkers, as part of the recipe: raised when they would cut the same text otherwise."""


class Block(Struct, frozen=True, gc=False):
    """A piece of a document's structure: characters `start` to `end`; `level` is 1 to 6 for headings, else 0."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


class Passage(Struct, frozen=True, gc=False):
    """Characters `start` to `end` of a text, and the headings it stands under.

    `parent` is the range that is read where this passage is found, `None` where it stands for itself.
    """

    start: int
    end: int
    heading: tuple[str, ...]
    parent: tuple[int, int] | None = None


class ChunkOptions(Struct, frozen=True, kw_only=True):
    """How documents are cut. Sizes are in tokens of the encoder.

    `overlap` tokens of whole sentences of the passage before are repeated in a passage; `sentences` is the
    length of a window of strategy `sentences`, `parent_tokens` the size of what strategy `parents` delivers.
    `vocabulary` is the file of the encoder's tokenizer, "" where tokens are estimated, and `vocabulary_digest`
    tells it from others.
    """

    strategy: Strategy = "structure"
    tokens: int = 200
    overlap: int = 0
    sentences: int = 5
    parent_tokens: int = 800
    vocabulary: str = ""
    vocabulary_digest: str = ""

    @property
    def recipe(self) -> str:
        """Equal for options that cut every text alike; wherever the tokenizer's file lies."""
        parts = [f"{self.strategy}/{REVISION}", str(self.tokens)]
        if self.overlap:
            parts.append(f"overlap={self.overlap}")
        if self.strategy == "sentences":
            parts.append(f"sentences={self.sentences}")
        if self.strategy == "parents":
            parts.append(f"parents={self.parent_tokens}")
        if self.vocabulary_digest:
            parts.append(self.vocabulary_digest[:16])
        return ":".join(parts)


def embedding_text(heading: Sequence[str], body: str) -> str:
    """What is embedded for a passage: its headings first, those that it does not begin with itself."""
    above = [title for title in heading if not body.startswith(title)]
    return "\n".join([" › ".join(above), body]) if above else body
