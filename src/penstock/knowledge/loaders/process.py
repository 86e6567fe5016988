"""The parent's side of reading files: one child, killed when a file takes too long, replaced when it dies."""

from __future__ import annotations

import asyncio
import time

import msgspec

from penstock.knowledge.loaders.messages import ReaderSetup, ReadRequest, ReadResult
from penstock.knowledge.values import KnowledgeOptions
from penstock.process import ChildCommand, SupervisedChild

START_SECONDS = 60.0


class FileReader:
    """Reads one file at a time in a child process. A crash or a timeout costs only its file."""

    def __init__(self, options: KnowledgeOptions) -> None:
        self._options = options
        self._answer: asyncio.Future[bytes] | None = None
        self._ended = asyncio.Event()
        self._started = False
        self._decoder = msgspec.msgpack.Decoder(ReadResult)
        self._child = SupervisedChild(
            ChildCommand(
                name="the file reader",
                module="penstock.knowledge.loaders.child",
                setup=msgspec.msgpack.encode(
                    ReaderSetup(options.parse_memory_bytes, options.max_file_bytes, options.parse_seconds)
                ),
                start_timeout=START_SECONDS,
            ),
            on_frame=self._on_frame,
            on_exit=self._on_exit,
            backoff=(0.01, 0.1),
        )

    async def read(self, request: ReadRequest) -> ReadResult:
        """What came of a file. Raises `Unavailable` only where no child can be started at all."""
        if not self._started:
            await self._child.start()
            self._started = True
        await self._child.ready(time.monotonic() + START_SECONDS)
        self._ended.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._child.send(msgspec.msgpack.encode(request))
        try:
            frame = await asyncio.wait_for(self._answer, self._options.parse_seconds)
        except TimeoutError:
            self._child.kill()
            await self._ended.wait()
            return ReadResult(
                status="timeout",
                reason=f"Reading it took longer than {self._options.parse_seconds:g} s. Split it, or raise"
                " parse_seconds.",
            )
        except ReaderDied as death:
            return ReadResult(
                status="corrupt",
                reason=f"Its reader crashed ({death}). Open it in its own program and save it again.",
            )
        return self._decoder.decode(frame)

    async def stop(self) -> None:
        await self._child.stop(grace=0.5)

    def _on_frame(self, frame: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(frame)

    def _on_exit(self, reason: str) -> None:
        self._ended.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ReaderDied(reason))


class ReaderDied(Exception):
    """The child ended while it read a file."""
