"""A cross-encoder by its files: a `Reranker` that reads the query and each text together, in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.supervised import ModelOptions, SupervisedModel, fingerprint_of, setup_of


class CrossEncoder(SupervisedModel):
    """Scores from 0 to 1 by the model in `folder` (`seams.Reranker`). Raises `ConfigError`.

    The score is the sigmoid of the model's logit. A text is cut where it and the query exceed the model's length.
    """

    def __init__(self, folder: Path, options: ModelOptions | None = None) -> None:
        options = options or ModelOptions()
        files = ModelFiles.read(folder, options.file)
        name = options.name or folder.name
        setup = replace(setup_of(files, options), scores=True)
        super().__init__(name, f"reranker {name}", fingerprint_of(files, setup), setup)

    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Reranker.rerank`. Raises `EngineStopped` when the child dies over it, `Unavailable` once closed."""
        rows, _ = await self._rows(texts, urgent=True, query=query)
        return rows[:, 0] if len(texts) else np.empty(0, np.float32)
