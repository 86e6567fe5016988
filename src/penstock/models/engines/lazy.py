"""An engine that starts when it is first needed: an answer that only quotes never waits for a model to load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from penstock.errors import DeadlineExceeded
from penstock.exchange import Chunk, Exchange
from penstock.seams import Engine, EngineHealth

__all__ = ["LazyEngine"]


class LazyEngine:
    """An `Engine` around one that `make` makes. A start that fails is tried again by the next request."""

    def __init__(self, name: str, make: Callable[[], Awaitable[Engine]]) -> None:
        self._name = name
        self._make = make
        self._engine: Engine | None = None
        self._starting: asyncio.Task[Engine] | None = None
        self._failure = ""

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        await self._started()

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        engine = self._engine or await self._by(exchange.deadline)
        async with contextlib.aclosing(engine.answer(exchange)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    async def count_tokens(self, exchange: Exchange) -> int:
        engine = self._engine or await self._by(exchange.deadline)
        return await engine.count_tokens(exchange)

    def health(self) -> EngineHealth:
        if self._engine is not None:
            return self._engine.health()
        if self._starting is not None:
            return EngineHealth(state="starting", model=self._name)
        return EngineHealth(
            state="stopped", model=self._name, detail=self._failure or "it starts with the first request"
        )

    async def close(self) -> None:
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def _by(self, deadline: float) -> Engine:
        seconds = None if deadline == float("inf") else deadline - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(self._started(), seconds)
        except TimeoutError:
            raise DeadlineExceeded(
                f"'{self._name}' was still loading at the deadline of the request.",
                hint="Try again in a few seconds.",
            ) from None

    async def _started(self) -> Engine:
        """The running engine; all who wait share one start, and one that gives up does not stop it."""
        if self._engine is not None:
            return self._engine
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name=f"start {self._name}")
        return await asyncio.shield(self._starting)

    async def _start(self) -> Engine:
        try:
            engine = await self._make()
            try:
                await engine.start()
            except BaseException:
                await engine.close()
                raise
        except Exception as error:
            self._failure = str(error)
            raise
        else:
            self._engine, self._failure = engine, ""
            return engine
        finally:
            self._starting = None
