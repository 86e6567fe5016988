"""How workers ask each other: one line over a Unix socket, and the answer until its end.

Only processes of the same user can connect: the folder of the sockets is theirs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

from penstock.platform.workers.worker import Worker

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0

Answer = Callable[[], Awaitable[bytes]]


class Peers:
    """This worker's place among the others (`gateway.services.Peers`). `answers` are what it can be asked."""

    def __init__(self, worker: Worker, answers: Mapping[str, Answer]) -> None:
        self._worker = worker
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        path = self._worker.socket(self._worker.number)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._worker.socket(self._worker.number).unlink(missing_ok=True)

    async def ask(self, what: str) -> dict[int, bytes]:
        """What the other workers say, by number; one that does not answer is left out."""
        others = [number for number in range(self._worker.count) if number != self._worker.number]
        answers = await asyncio.gather(*(self._ask(number, what) for number in others))
        return {number: answer for number, answer in zip(others, answers, strict=True) if answer is not None}

    async def _ask(self, number: int, what: str) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._worker.socket(number))
                with contextlib.closing(writer):
                    writer.write(what.encode() + b"\n")
                    return await reader.read()
        except (OSError, TimeoutError):
            return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                answer = self._answers.get((await reader.readline()).decode().strip())
                if answer is not None:
                    writer.write(await answer())
                    await writer.drain()
            except (OSError, ValueError):
                logger.warning("another worker did not wait for its answer")
