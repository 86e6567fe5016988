"""Where an `App` gets its answers: from parts that run in this process, or from the server of its data folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from penstock.client import Server, running_server
from penstock.config import AppFolder
from penstock.exchange import Chunk, Message
from penstock.knowledge.base import EVERYTHING, Hit, IngestSummary, Query
from penstock.platform import Platform


class Session(Protocol):
    """An app that is open. `ask` gives the trace's id with every chunk."""

    def ask(self, messages: Sequence[Message]) -> AsyncGenerator[tuple[str, Chunk]]: ...

    async def search(self, question: str, limit: int) -> tuple[Hit, ...]: ...

    async def ingest(self) -> dict[str, IngestSummary]: ...

    async def close(self) -> None: ...


async def open_session(folder: AppFolder, *, served: bool) -> Session:
    """The running server of the data folder where `served` allows it, else the app opened here, brought up to date.

    Raises `ConfigError` where there is nothing to read, and what a part raises that cannot start.
    """
    if served and (server := await asyncio.to_thread(running_server, folder)):
        return ServedSession(folder, Server.of(server))
    stack = contextlib.AsyncExitStack()
    try:
        platform = await stack.enter_async_context(Platform.open(folder))
        await platform.ingest()
    except BaseException:
        await stack.aclose()
        raise
    return LocalSession(platform, stack)


class LocalSession:
    """An app whose parts run in this process and its children."""

    def __init__(self, platform: Platform, stack: contextlib.AsyncExitStack) -> None:
        self._platform = platform
        self._stack = stack

    async def ask(self, messages: Sequence[Message]) -> AsyncGenerator[tuple[str, Chunk]]:
        exchange = self._platform.exchange(messages)
        async with contextlib.aclosing(self._platform.pipeline.run(exchange)) as chunks:
            async for chunk in chunks:
                yield exchange.trace_id, chunk

    async def search(self, question: str, limit: int) -> tuple[Hit, ...]:
        (base,) = self._platform.knowledge.values()
        return (await base.search(Query(text=question, reader=EVERYTHING, limit=limit))).hits

    async def ingest(self) -> dict[str, IngestSummary]:
        return await self._platform.ingest()

    async def close(self) -> None:
        await self._stack.aclose()


class ServedSession:
    """An app that a running server answers for; its blocking calls go to threads."""

    def __init__(self, folder: AppFolder, server: Server) -> None:
        self._folder = folder
        self._server = server

    async def ask(self, messages: Sequence[Message]) -> AsyncGenerator[tuple[str, Chunk]]:
        answer = self._server.ask(self._folder.name, messages)
        chunks = iter(answer)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield answer.trace_id, chunk

    async def search(self, question: str, limit: int) -> tuple[Hit, ...]:
        (name,) = self._folder.settings.knowledge
        found = await asyncio.to_thread(
            self._server.get, f"/api/v1/knowledge/{name}/search", q=question, limit=limit
        )
        return msgspec.convert(found["hits"], tuple[Hit, ...])

    async def ingest(self) -> dict[str, IngestSummary]:
        summaries = {}
        for name in self._folder.settings.knowledge:
            done = await asyncio.to_thread(self._server.post, f"/api/v1/knowledge/{name}/ingest", {})
            summaries[name] = msgspec.convert(done, IngestSummary)
        return summaries

    async def close(self) -> None:
        pass
