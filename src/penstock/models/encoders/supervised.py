"""What sentence encoders and cross-encoders are: a model by its files that reads texts in a child process.

This is the parent's side, from texts to one row of numbers for each.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import EngineStopped, Unavailable
from penstock.models.encoders.cores import fast_precision, usable_cores
from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.messages import Cancel, Job, Precision, Ready, Result, Setup
from penstock.process import ChildCommand, SupervisedChild
from penstock.seams import EngineHealth

REVISION = 1
"""Of the arithmetic, as part of the fingerprint: raised when the same weights would give other numbers."""

RESTART_SECONDS = 60.0

BEARS_INT8 = frozenset({"acad6cf67a9c2a78c3b73dae0b68ce987991072241a5fab00960301cee96bb36"})
"""Digests of models whose vectors were compared with those in single precision: all-MiniLM-L6-v2."""

MAX_CHARACTERS = 65_536
"""Of one text; what lies behind would only count where a model's longest text took more than this."""

JOB_CHARACTERS = 4 << 20
"""Of one job; a larger call is sent as several."""


class ModelOptions(Struct, frozen=True, kw_only=True):
    """What is said about a model beside its files; `None` is what the files, or this machine, say.

    `file` is the graph inside the folder.
    """

    name: str = ""
    file: str = ""
    max_tokens: int | None = None
    precision: Precision | None = None
    threads: int | None = None


def setup_of(files: ModelFiles, options: ModelOptions) -> Setup:
    """How the child is to read these files. Raises `ConfigError` for more tokens than the graph can take."""
    return Setup(
        graph=str(files.graph.absolute()),
        tokenizer=str(files.tokenizer.absolute()),
        precision=options.precision or fast_precision(files.digest in BEARS_INT8),
        threads=options.threads or usable_cores(),
        max_tokens=files.tokens(options.max_tokens),
        pad_id=files.pad_id,
    )


def fingerprint_of(files: ModelFiles, setup: Setup) -> str:
    """Names the weights, the tokenizer, the length and the precision."""
    return f"{files.folder.name}:{files.digest[:16]}:{setup.max_tokens}:{setup.precision}:{REVISION}"


class SupervisedModel:
    """Runs the model of `setup` in a child that is started again when it dies.

    Calls may overlap in any number; urgent ones overtake bulk work. A crash of the child fails the calls in flight
    with `EngineStopped`, and later ones wait for its restart. `title` is what messages call it.
    """

    def __init__(self, name: str, title: str, fingerprint: str, setup: Setup) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._title = title
        self._detail = f"{setup.precision}, {setup.threads} threads"
        self._width = 0
        self._memory: int | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._result = msgspec.msgpack.Decoder(Result)
        self._child = SupervisedChild(
            ChildCommand(
                name=title,
                module="penstock.models.encoders.child",
                setup=msgspec.msgpack.encode(setup),
            ),
            on_frame=self._on_frame,
            on_ready=self._on_ready,
            on_exit=self._on_exit,
        )

    async def start(self) -> None:
        """Starts the child and returns when it can compute. Raises `Unavailable`."""
        await self._child.start()

    def kill(self) -> None:
        """Kills this run of the child at once; the supervisor starts the next."""
        self._child.kill()

    async def _rows(
        self, texts: Sequence[str], *, urgent: bool, query: str | None = None
    ) -> tuple[NDArray[np.float32], int]:
        """float32 (texts, width), and the tokens that were read.

        Raises `EngineStopped` when the child dies over it, `Unavailable` once closed or for numbers that are none.
        """
        if not texts:
            return np.empty((0, self._width), np.float32), 0
        await self._child.ready(time.monotonic() + RESTART_SECONDS)
        asked = None if query is None else clean(query)
        jobs = [Job(id=next(self._numbers), texts=group, urgent=urgent, query=asked) for group in groups(texts)]
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
        rows = b"".join(result.rows for result in results)
        matrix = np.frombuffer(rows, "<f4").reshape(len(texts), self._width)
        if not np.isfinite(matrix).all():
            raise Unavailable(
                f"The {self._title} gave numbers that are not finite.",
                hint='Its weights are damaged, or need precision = "f32".',
            )
        return matrix, sum(result.tokens for result in results)

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
        ready = msgspec.msgpack.decode(payload, type=Ready)
        self._width, self._memory = ready.width, ready.memory_bytes

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
                    EngineStopped(f"the {self._title} stopped ({reason}).", hint="Send the request again.")
                )

    def _forget(self, job_id: int) -> None:
        """Tells the child of a job whose caller left before its end."""
        if self._waiting.pop(job_id, None) is not None and self._child.state == "ready":
            self._child.send(msgspec.msgpack.encode(Cancel(id=job_id)))


def groups(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The texts, cut and encodable, in groups that make frames of a sensible size."""
    group: list[str] = []
    size = 0
    for text in texts:
        cut = clean(text)
        if group and size + len(cut) > JOB_CHARACTERS:
            yield tuple(group)
            group, size = [], 0
        group.append(cut)
        size += len(cut)
    yield tuple(group)


def clean(text: str) -> str:
    """What of a text can be read by a model; half a surrogate pair has no UTF-8."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
