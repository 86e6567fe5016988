"""A cross-encoder by its files: a `Reranker` that reads the query and each text together, in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.models.encoders.cores import fast_precision, usable_cores
from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.messages import Precision, Setup
from penstock.models.encoders.supervised import SupervisedModel
from penstock.seams import EngineHealth

REVISION = 1
"""Of the arithmetic, as part of the fingerprint: raised when the same weights would give other scores."""


class CrossEncoderOptions(Struct, frozen=True, kw_only=True):
    """What is said about a cross-encoder beside its files; `None` is what the files, or this machine, say."""

    name: str = ""
    file: str = ""
    max_tokens: int | None = None
    precision: Precision | None = None
    threads: int | None = None


class CrossEncoder:
    """Scores from 0 to 1 by the model in `folder` (`seams.Reranker`). Raises `ConfigError`.

    The score is the sigmoid of the model's logit. A text is cut where it and the query exceed the model's length.
    """

    def __init__(self, folder: Path, options: CrossEncoderOptions | None = None) -> None:
        options = options or CrossEncoderOptions()
        files = ModelFiles.read(folder, options.file)
        self._name = options.name or folder.name
        setup = Setup(
            graph=str(files.graph.absolute()),
            tokenizer=str(files.tokenizer.absolute()),
            precision=options.precision or fast_precision(),
            threads=options.threads or usable_cores(),
            max_tokens=files.tokens(options.max_tokens),
            pad_id=files.pad_id,
            scores=True,
        )
        self._fingerprint = f"{folder.name}:{files.digest[:16]}:{setup.max_tokens}:{setup.precision}:{REVISION}"
        self._model = SupervisedModel("reranker", self._name, setup)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    async def start(self) -> None:
        """Starts the child and returns when it can compute. Raises `Unavailable`."""
        await self._model.start()

    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Reranker.rerank`. Raises `EngineStopped` when the child dies over it, `Unavailable` once closed."""
        rows, _ = await self._model.rows(texts, urgent=True, query=query)
        return rows[:, 0] if len(texts) else np.empty(0, np.float32)

    def health(self) -> EngineHealth:
        return self._model.health()

    async def close(self) -> None:
        """Ends the child; calls in flight fail with `EngineStopped`."""
        await self._model.close()
