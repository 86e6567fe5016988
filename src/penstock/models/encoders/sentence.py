"""Sentence vectors by a model's files, MiniLM's or any other's: an `Embedder` whose work is done in a child."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.messages import Pooling, Setup
from penstock.models.encoders.supervised import ModelOptions, SupervisedModel, fingerprint_of, setup_of
from penstock.seams import Embeddings, TextKind


class EncoderOptions(ModelOptions, frozen=True, kw_only=True):
    """The prefixes stand before every text of their kind."""

    pooling: Pooling | None = None
    query_prefix: str | None = None
    passage_prefix: str | None = None


class EncoderFiles(Struct, frozen=True):
    """What makes the same encoder elsewhere: its files, and the options with the precision that is used here."""

    folder: Path
    options: EncoderOptions


class SentenceEncoder(SupervisedModel):
    """Texts to vectors of length 1 by the model in `folder` (`seams.Embedder`). Raises `ConfigError`."""

    def __init__(self, folder: Path, options: EncoderOptions | None = None) -> None:
        options = options or EncoderOptions()
        files = ModelFiles.read(folder, options.file)
        name = options.name or folder.name
        self._prefixes: dict[TextKind, str] = {
            "query": files.query_prefix if options.query_prefix is None else options.query_prefix,
            "passage": files.passage_prefix if options.passage_prefix is None else options.passage_prefix,
        }
        setup = replace(setup_of(files, options), pooling=options.pooling or files.pooling, behind=files.behind)
        super().__init__(name, f"encoder {name}", vectors_fingerprint(files, setup, self._prefixes), setup)
        self.files = EncoderFiles(folder, replace(options, precision=setup.precision))
        self.tokenizer = files.tokenizer
        """Counts tokens as this encoder does (`seams.OwnTokenizer`)."""

    @property
    def dimensions(self) -> int:
        """Known from the first start on, 0 before."""
        return self._width

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        """See `Embedder.embed`. Raises `EngineStopped` when the child dies over it, `Unavailable` once closed."""
        if prefix := self._prefixes[kind]:
            texts = [prefix + text for text in texts]
        vectors, tokens = await self._rows(texts, urgent=urgent)
        return Embeddings(vectors, tokens)


def vectors_fingerprint(files: ModelFiles, setup: Setup, prefixes: dict[TextKind, str]) -> str:
    """The model's fingerprint, with whatever is not as MiniLM has it."""
    said = fingerprint_of(files, setup)
    special = (setup.pooling, setup.pad_id, prefixes["query"], prefixes["passage"])
    if special == ("mean", 0, "", ""):
        return said
    return f"{said}:{hashlib.sha256(repr(special).encode()).hexdigest()[:16]}"
