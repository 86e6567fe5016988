"""MiniLM sentence vectors from a child process: the parent's side, an `Embedder`."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from penstock.errors import ConfigError, EngineStopped
from penstock.models.encoders.bert_config import BertConfig, SentenceConfig
from penstock.models.encoders.cores import fast_precision, usable_cores
from penstock.models.encoders.minilm_messages import Cancel, Job, Precision, Ready, Result, Setup
from penstock.models.pull import MANIFEST, manifest
from penstock.process import ChildCommand, SupervisedChild
from penstock.seams import Embeddings, EngineHealth, TextKind

REVISION = 1
"""Of the arithmetic, as part of the fingerprint: raised when the same weights would give other vectors."""

FILES = ("model.safetensors", "tokenizer.json")
RESTART_SECONDS = 60.0

MAX_CHARACTERS = 65_536
"""Of one text; what lies behind would only count where 256 tokens take more than this."""

JOB_CHARACTERS = 4 << 20
"""Of one job; a larger call is sent as several."""


class MiniLM:
    """Texts to vectors of length 1 by the model in `folder`; `Embedder`.

    `precision` and `threads` default to what suits this processor. Calls may overlap in any number; queries
    (`urgent`) overtake bulk work. A crash of the child fails the calls in flight with `EngineStopped`, and later
    ones wait for its restart.
    """

    def __init__(self, folder: Path, *, precision: Precision | None = None, threads: int | None = None) -> None:
        config = BertConfig.read(folder)
        self._folder = folder
        self._dimensions = config.hidden_size
        setup = Setup(
            folder=str(folder.absolute()),
            precision=precision or fast_precision(),
            threads=threads or usable_cores(),
            max_tokens=min(SentenceConfig.read(folder).max_seq_length, config.max_position_embeddings),
        )
        self._fingerprint = _fingerprint(folder, setup)
        self._detail = f"{setup.precision}, {setup.threads} threads"
        self._memory: int | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._result = msgspec.msgpack.Decoder(Result)
        self._child = SupervisedChild(
            ChildCommand(
                name=f"encoder {self.name}",
                module="penstock.models.encoders.minilm_child",
                setup=msgspec.msgpack.encode(setup),
            ),
            on_frame=self._on_frame,
            on_ready=self._on_ready,
            on_exit=self._on_exit,
        )

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    async def start(self) -> None:
        """Starts the child and returns when it can compute. Raises `Unavailable`."""
        await self._child.start()

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        """See `Embedder.embed`. Raises `EngineStopped` when the child dies over it, `Unavailable` once closed."""
        if not texts:
            return Embeddings(np.empty((0, self._dimensions), np.float32), 0)
        await self._child.ready(time.monotonic() + RESTART_SECONDS)
        jobs = [Job(id=next(self._numbers), texts=group, urgent=urgent) for group in _groups(texts)]
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in jobs]
        try:
            for job, future in zip(jobs, futures, strict=True):
                self._waiting[job.id] = future
                self._child.send(msgspec.msgpack.encode(job))
            results = await asyncio.gather(*futures)
        finally:
            for job in jobs:
                self._forget(job.id)
        vectors = b"".join(result.vectors for result in results)
        matrix = np.frombuffer(vectors, "<f4").reshape(len(texts), self._dimensions)
        return Embeddings(matrix, sum(result.tokens for result in results))

    def health(self) -> EngineHealth:
        return EngineHealth(
            state=self._child.state,
            model=self.name,
            pid=self._child.pid,
            restarts=self._child.restarts,
            running=len(self._waiting),
            memory_bytes=self._memory,
            detail=self._child.reason if self._child.state != "ready" else self._detail,
        )

    async def close(self) -> None:
        """Ends the child; calls in flight fail with `EngineStopped`."""
        await self._child.stop()
        self._fail("it was closed")

    def _on_ready(self, payload: bytes) -> None:
        self._memory = msgspec.msgpack.decode(payload, type=Ready).memory_bytes

    def _on_frame(self, payload: bytes) -> None:
        result = self._result.decode(payload)
        self._memory = result.memory_bytes
        future = self._waiting.pop(result.id, None)
        if future is not None and not future.done():
            future.set_result(result)

    def _on_exit(self, reason: str) -> None:
        self._memory = None
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(
                    EngineStopped(f"the encoder {self.name} stopped ({reason}).", hint="Send the request again.")
                )

    def _forget(self, job_id: int) -> None:
        """Tells the child of a job whose caller left before its end."""
        if self._waiting.pop(job_id, None) is not None and self._child.state == "ready":
            self._child.send(msgspec.msgpack.encode(Cancel(id=job_id)))


def _groups(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The texts, cut and encodable, in groups that make frames of a sensible size."""
    group: list[str] = []
    size = 0
    for text in texts:
        # Lone surrogates have no UTF-8; the tokenizer has no token for them either.
        cut = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
        if group and size + len(cut) > JOB_CHARACTERS:
            yield tuple(group)
            group, size = [], 0
        group.append(cut)
        size += len(cut)
    yield tuple(group)


def _fingerprint(folder: Path, setup: Setup) -> str:
    """Names the weights, the tokenizer, the length and the precision."""
    pulled = manifest(folder).files if (folder / MANIFEST).is_file() else ()
    known = {file.name: file.sha256 for file in pulled}
    digest = hashlib.sha256()
    try:
        for name in FILES:
            digest.update((known.get(name) or hashlib.sha256((folder / name).read_bytes()).hexdigest()).encode())
    except OSError as error:
        raise ConfigError(f"{folder} is no encoder: {error}.", hint="Pull the model again.") from error
    return f"{folder.name}:{digest.hexdigest()[:16]}:{setup.max_tokens}:{setup.precision}:{REVISION}"
