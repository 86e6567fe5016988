"""Sentence vectors by a model's files, MiniLM's or any other's: an `Embedder` whose work is done in a child."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from penstock.models.encoders.cores import fast_precision, usable_cores
from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.messages import Pooling, Precision, Setup
from penstock.models.encoders.supervised import SupervisedModel
from penstock.seams import Embeddings, EngineHealth, TextKind

REVISION = 1
"""Of the arithmetic, as part of the fingerprint: raised when the same weights would give other vectors."""


class EncoderOptions(Struct, frozen=True, kw_only=True):
    """What is said about an encoder beside its files; `None` is what the files, or this machine, say.

    `file` is the graph inside the folder. The prefixes stand before every text of their kind.
    """

    name: str = ""
    file: str = ""
    pooling: Pooling | None = None
    max_tokens: int | None = None
    query_prefix: str | None = None
    passage_prefix: str | None = None
    precision: Precision | None = None
    threads: int | None = None


class EncoderFiles(Struct, frozen=True):
    """What makes the same encoder elsewhere: its files, and the options with the precision that is used here."""

    folder: Path
    options: EncoderOptions


class SentenceEncoder:
    """Texts to vectors of length 1 by the model in `folder` (`seams.Embedder`). Raises `ConfigError`.

    A crash of the child fails the calls in flight with `EngineStopped`, and later ones wait for its restart.
    """

    def __init__(self, folder: Path, options: EncoderOptions | None = None) -> None:
        options = options or EncoderOptions()
        files = ModelFiles.read(folder, options.file)
        self._name = options.name or folder.name
        self._prefixes: dict[TextKind, str] = {
            "query": files.query_prefix if options.query_prefix is None else options.query_prefix,
            "passage": files.passage_prefix if options.passage_prefix is None else options.passage_prefix,
        }
        setup = Setup(
            graph=str(files.graph.absolute()),
            tokenizer=str(files.tokenizer.absolute()),
            precision=options.precision or fast_precision(),
            threads=options.threads or usable_cores(),
            max_tokens=files.tokens(options.max_tokens),
            pad_id=files.pad_id,
            pooling=options.pooling or files.pooling,
            behind=files.behind,
        )
        self._fingerprint = fingerprint(files, setup, self._prefixes)
        self.files = EncoderFiles(folder, replace(options, precision=setup.precision))
        self._model = SupervisedModel("encoder", self._name, setup)
        self._tokenizer = files.tokenizer

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimensions(self) -> int:
        """Known from the first start on."""
        return self._model.width

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def tokenizer(self) -> Path:
        """Counts tokens as this encoder does (`seams.OwnTokenizer`)."""
        return self._tokenizer

    async def start(self) -> None:
        """Starts the child and returns when it can compute. Raises `Unavailable`."""
        await self._model.start()

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        """See `Embedder.embed`. Raises `EngineStopped` when the child dies over it, `Unavailable` once closed."""
        if prefix := self._prefixes[kind]:
            texts = [prefix + text for text in texts]
        vectors, tokens = await self._model.rows(texts, urgent=urgent)
        return Embeddings(vectors, tokens)

    def health(self) -> EngineHealth:
        return self._model.health()

    async def close(self) -> None:
        """Ends the child; calls in flight fail with `EngineStopped`."""
        await self._model.close()


def fingerprint(files: ModelFiles, setup: Setup, prefixes: dict[TextKind, str]) -> str:
    """Names the weights, the tokenizer, the length and the precision, and whatever else is not MiniLM's."""
    said = f"{files.folder.name}:{files.digest[:16]}:{setup.max_tokens}:{setup.precision}:{REVISION}"
    special = (setup.pooling, setup.pad_id, prefixes["query"], prefixes["passage"])
    if special == ("mean", 0, "", ""):
        return said
    return f"{said}:{hashlib.sha256(repr(special).encode()).hexdigest()[:16]}"
