"""What every local engine is told, and the checks that all of them share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from penstock.errors import (
    CacheExhausted,
    ContextLengthExceeded,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    PenstockError,
    UnsupportedFeature,
)
from penstock.exchange import Chunk, Exchange, Parameters


class EngineSettings(Struct, frozen=True, kw_only=True):
    """How to run one model.

    `context` is the most tokens of one prompt and its answer; `cache_tokens` the tokens of all running requests
    together (the KV cache; the memory is taken as it is used). `default_max_tokens` and `temperature` hold where
    the caller says nothing. `prefix_cache` keeps what prompts have in common, and so must be off where projects
    that may not learn of each other share an engine. `threads` None is one per core.
    """

    model: str
    file: Path
    context: int
    cache_tokens: int = 65_536
    max_running: int = 64
    max_waiting: int = 256
    default_max_tokens: int = 1024
    temperature: float = 0.7
    step_tokens: int = 256
    prefix_cache: bool = True
    threads: int | None = None
    constraint_seconds: float = 2.0
    start_timeout: float = 120.0


class Sampling(Struct, frozen=True):
    """Parameters with every default filled in. `temperature` 0 takes the likeliest token."""

    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    logprobs: bool


def sampling(parameters: Parameters, settings: EngineSettings) -> Sampling:
    """Checks parameters and fills them in; a seed is drawn where none is given. Raises `InvalidRequest`."""
    temperature = settings.temperature if parameters.temperature is None else parameters.temperature
    top_p = 1.0 if parameters.top_p is None else parameters.top_p
    checks = (
        (
            "max_tokens",
            parameters.max_tokens,
            parameters.max_tokens is None or parameters.max_tokens >= 1,
            "at least 1",
        ),
        ("temperature", temperature, 0 <= temperature <= 2, "from 0 to 2"),
        ("top_p", top_p, 0 <= top_p <= 1, "from 0 to 1"),
        ("stop", list(parameters.stop), all(parameters.stop), "strings that are not empty"),
        ("stop", len(parameters.stop), len(parameters.stop) <= 16, "at most 16 strings"),
    )
    for name, value, good, wanted in checks:
        if not good:
            raise InvalidRequest(f"{name} is {value!r}.", hint=f"Send {wanted}.", param=name)
    if top_p == 0:
        temperature, top_p = 0.0, 1.0
    seed = secrets.randbits(32) if parameters.seed is None else parameters.seed & 0xFFFFFFFF
    return Sampling(parameters.max_tokens, temperature, top_p, seed, parameters.stop, parameters.logprobs)


def check_operation(exchange: Exchange, model: str) -> None:
    """Raises `UnsupportedFeature` for what no local engine does, `InvalidRequest` for a chat without messages."""
    if exchange.operation not in ("chat", "complete"):
        raise UnsupportedFeature(
            f"model '{model}' cannot do '{exchange.operation}'; it is a language model.",
            hint="Send a chat or a completion, or name an embedding model.",
            param="model",
        )
    if exchange.operation == "chat":
        if not exchange.messages:
            raise InvalidRequest("messages is empty.", hint="Send at least one message.", param="messages")
        for message in exchange.messages:
            if isinstance(message.content, list) and any(part.text is None for part in message.content):
                raise UnsupportedFeature(
                    f"model '{model}' reads text only.", hint="Send text parts only.", param="messages"
                )


class Limits(Protocol):
    """What bounds a request: the part of `EngineSettings` that the engine's process knows too."""

    @property
    def model(self) -> str: ...
    @property
    def context(self) -> int: ...
    @property
    def cache_tokens(self) -> int: ...
    @property
    def default_max_tokens(self) -> int: ...


def too_long(prompt_tokens: int, whole: bool, limits: Limits) -> ContextLengthExceeded:
    """`whole` says whether `prompt_tokens` counts the whole prompt; a giant one is not read to its end."""
    return ContextLengthExceeded(
        f"the prompt has {'' if whole else 'more than '}{prompt_tokens} tokens and leaves no room for an answer:"
        f" the context of '{limits.model}' is {limits.context} tokens.",
        hint="Shorten the messages, or use a model with a longer context.",
        param="messages",
    )


def past_deadline(model: str) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"'{model}' had not finished at the deadline of the request.",
        hint="Allow more time, or ask for fewer tokens.",
    )


def seconds_left(deadline: float) -> float | None:
    """For `asyncio.timeout`: None where there is no deadline."""
    return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())


class AnswerStream:
    """The chunks of one request on their way from the engine's process to its reader.

    Written by callbacks on the event loop, read by one task. Text that waits for its reader is joined, so what is
    held is bounded by the answer. `fail` ends it with an error once what came before has been read.
    """

    __slots__ = ("_chunks", "_error", "_timer", "_waiter", "finished", "started")

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.finished = False
        self._chunks: deque[Chunk] = deque()
        self._error: PenstockError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def expire_at(self, deadline: float, error: PenstockError, on_expiry: Callable[[], object]) -> None:
        """Fails with `error` at `deadline` (monotonic seconds) and then calls `on_expiry`."""
        if deadline == float("inf"):
            return

        def expire() -> None:
            self.fail(error)
            on_expiry()

        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - time.monotonic()), expire)

    def put(self, chunk: Chunk) -> None:
        if self.finished:
            return
        if chunk.finish_reason is not None:
            self._finish()
        self._chunks.append(chunk)
        self._wake()

    def fail(self, error: PenstockError) -> None:
        if self.finished:
            return
        self._finish()
        self._error = error
        self._wake()

    async def read(self) -> AsyncIterator[Chunk]:
        """The chunks, up to and with the one that carries the finish reason."""
        while True:
            while not self._chunks:
                if self._error is not None:
                    raise self._error
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            chunk = self._chunks.popleft() if len(self._chunks) == 1 else self._joined()
            yield chunk
            if chunk.finish_reason is not None:
                return

    def close(self) -> None:
        """The reader left: nothing more is kept."""
        self._finish()
        self._chunks.clear()

    def _joined(self) -> Chunk:
        chunks = list(self._chunks)
        self._chunks.clear()
        return Chunk(
            text="".join(chunk.text for chunk in chunks),
            logprobs=tuple(item for chunk in chunks for item in chunk.logprobs),
            finish_reason=chunks[-1].finish_reason,
            usage=chunks[-1].usage,
        )

    def _finish(self) -> None:
        self.finished = True
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Load:
    """How much is in flight, and when it is too much. `retry_after` follows how long answers took lately."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._seconds = 1.0
        self.in_flight = 0

    @property
    def running(self) -> int:
        return min(self.in_flight, self._settings.max_running)

    @property
    def waiting(self) -> int:
        return max(0, self.in_flight - self._settings.max_running)

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts one request while the block runs. Raises `Overloaded` where the queue is full."""
        settings = self._settings
        if self.in_flight >= settings.max_running + settings.max_waiting:
            raise Overloaded(
                f"'{settings.model}' has {settings.max_running} requests running and {self.waiting} waiting.",
                hint="Send the request again later, or raise max_waiting.",
                retry_after=max(1.0, round(self._seconds * (1 + self.waiting / settings.max_running), 1)),
            )
        self.in_flight += 1
        started = time.monotonic()
        try:
            yield
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
        finally:
            self.in_flight -= 1


class TokenBudget:
    """The tokens of a cache, given out in the order of asking."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._used = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used_share(self) -> float:
        return self._used / self._tokens

    @contextlib.asynccontextmanager
    async def reserved(self, tokens: int) -> AsyncIterator[None]:
        """Waits until `tokens` are free and holds them while the block runs."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (tokens, turn)
        self._queue.append(entry)
        self._give()
        try:
            await turn
            yield
        finally:
            if entry in self._queue:
                self._queue.remove(entry)
            elif not turn.cancelled():
                self._used -= tokens
            self._give()

    def _give(self) -> None:
        while self._queue and self._used + self._queue[0][0] <= self._tokens:
            tokens, turn = self._queue.popleft()
            if not turn.done():
                self._used += tokens
                turn.set_result(None)


def most_new(asked: int | None, prompt: int, room: int, limits: Limits) -> int:
    """How many tokens an answer may have: what was asked for, as far as the context reaches.

    `room` is what the whole cache leaves beside the prompt. Raises `ContextLengthExceeded`, `CacheExhausted`.
    """
    left = limits.context - prompt
    if left < 1:
        raise too_long(prompt, True, limits)
    most = min(left, limits.default_max_tokens, max(1, room)) if asked is None else min(left, asked)
    if most > room:
        raise cache_exhausted(prompt, most, limits)
    return most


def cache_exhausted(prompt: int, answer: int, limits: Limits) -> CacheExhausted:
    return CacheExhausted(
        f"{prompt} prompt tokens and an answer of up to {answer} do not fit the cache of '{limits.model}',"
        f" which holds {limits.cache_tokens} tokens.",
        hint="Send a smaller max_tokens or a shorter prompt, or raise cache_tokens.",
    )


def memory_of(pid: int | None) -> int | None:
    """Resident bytes of a process; None where that cannot be known."""
    if pid is None or sys.platform != "linux":
        return None
    try:
        with Path(f"/proc/{pid}/statm").open() as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None
