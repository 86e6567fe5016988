"""An app from Python: `App("my-docs").ask("…")`, in a script, in async code and in a notebook alike.

The app runs on an event loop in a thread of its own, so that the synchronous calls work where another loop is
already running. Where a server is running for the same data folder, that one is asked.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import Struct

from penstock.config import AppFolder, load
from penstock.errors import InvalidRequest
from penstock.exchange import AnswerMode, Chunk, Citation, Conflict, Grounding, Message, Usage
from penstock.knowledge.base import Hit, IngestSummary
from penstock.session import Session, open_session

T = TypeVar("T")
Piece = Chunk | BaseException | None
"""What travels from the app's thread to the caller's: a chunk, the error that ended the answer, or its end."""


class Answer(Struct, frozen=True, kw_only=True):
    """What an app answered, and what that stands on.

    `answered` is false where the documents do not say; then `citations` are the nearest passages. `unsupported`
    are the character ranges of `text` that no passage supports, `grounded` is the share of its claims that one
    does, and `conflicts` say where passages disagree. Prints as the text with its sources.
    """

    question: str
    text: str
    answered: bool
    mode: AnswerMode
    citations: tuple[Citation, ...]
    unsupported: tuple[tuple[int, int], ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    grounded: float | None = None
    usage: Usage | None = None
    trace_id: str = ""

    def __str__(self) -> str:
        return "\n".join([self.text, "", *(f"[{each.number}] {each.place}" for each in self.citations)]).rstrip()

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        text = "".join(f"<p>{escape(part)}</p>" for part in self.text.splitlines() if part.strip())
        sources = "".join(
            f"<li value='{each.number}'><b>{escape(each.place)}</b><br><q>{escape(each.quote)}</q></li>"
            for each in self.citations
        )
        return f"{text}<ol>{sources}</ol>"


class App:
    """The app at `path`: a folder, a document, or a folder with `penstock.toml`.

    Opens with the first call: fetches the models it needs, takes in what is new in the documents, and stays open
    until `close` or the end of the program. `model` ("openai/gpt-4.1-mini", "ollama/llama3.2") composes the
    answers with that model. Raises `ConfigError` at once for a configuration that is wrong.
    """

    def __init__(self, path: str | Path = ".", *, model: str | None = None) -> None:
        self.folder: AppFolder = load(path, {("models", "default"): {"use": model}} if model else None)
        self._own_model = model is not None
        self._thread: LoopThread | None = None
        self._starting = threading.Lock()
        self._opening = asyncio.Lock()
        self._session: Session | None = None

    def ask(self, question: str, *, history: Sequence[Message] = ()) -> Answer:
        """Asks, and waits for the whole answer. `history` is what was said before, oldest first."""
        return self._run(self._ask(question, history))

    async def aask(self, question: str, *, history: Sequence[Message] = ()) -> Answer:
        """`ask` for async code."""
        return await self._await(self._ask(question, history))

    def stream(self, question: str, *, history: Sequence[Message] = ()) -> Iterator[Chunk]:
        """The pieces of the answer as they come: evidence first, then text, citations last."""
        pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        running = self._loop().submit(self._pump(question, history, pieces.put))
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            running.cancel()

    async def astream(self, question: str, *, history: Sequence[Message] = ()) -> AsyncIterator[Chunk]:
        """`stream` for async code."""
        pieces: asyncio.Queue[Piece] = asyncio.Queue()
        here = asyncio.get_running_loop()

        def put(piece: Piece) -> None:
            here.call_soon_threadsafe(pieces.put_nowait, piece)

        running = self._loop().submit(self._pump(question, history, put))
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            running.cancel()

    def search(self, question: str, *, limit: int = 5) -> tuple[Hit, ...]:
        """The passages that fit a question best, with both their scores."""
        return self._run(self._search(question, limit))

    def ingest(self) -> dict[str, IngestSummary]:
        """Takes in what changed in the documents since the app was opened."""
        return self._run(self._ingest())

    def close(self) -> None:
        """Ends the app's processes and closes its files. Calling anything afterwards opens it again."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self.close)
            thread.run(self._close())
            thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _pump(self, question: str, history: Sequence[Message], put: Callable[[Piece], None]) -> None:
        try:
            async with contextlib.aclosing(self._asked(question, history)) as pieces:
                async for _, chunk in pieces:
                    put(chunk)
        except BaseException as error:
            put(error)
            if not isinstance(error, Exception):
                raise
        else:
            put(None)

    async def _ask(self, question: str, history: Sequence[Message]) -> Answer:
        text: list[str] = []
        usage: Usage | None = None
        grounding: Grounding | None = None
        trace_id = ""
        async with contextlib.aclosing(self._asked(question, history)) as pieces:
            async for asked_as, chunk in pieces:
                trace_id = asked_as
                text.append(chunk.text)
                usage = chunk.usage or usage
                grounding = chunk.grounding or grounding
        assert grounding is not None, "an app's answer ends with what it stands on"
        return Answer(
            question=question,
            text="".join(text),
            answered=grounding.answered,
            mode=grounding.mode,
            citations=grounding.citations,
            unsupported=grounding.unsupported,
            conflicts=grounding.conflicts,
            grounded=grounding.grounded,
            usage=usage,
            trace_id=trace_id,
        )

    async def _asked(self, question: str, history: Sequence[Message]) -> AsyncGenerator[tuple[str, Chunk]]:
        if not question.strip():
            raise InvalidRequest("The question is empty.", hint="Ask something that the documents may answer.")
        session = await self._open()
        async with contextlib.aclosing(session.ask([*history, Message("user", question)])) as pieces:
            async for piece in pieces:
                yield piece

    async def _search(self, question: str, limit: int) -> tuple[Hit, ...]:
        return await (await self._open()).search(question, limit)

    async def _ingest(self) -> dict[str, IngestSummary]:
        return await (await self._open()).ingest()

    async def _open(self) -> Session:
        """The app, open; the first caller opens it and the others wait."""
        async with self._opening:
            if self._session is None:
                self._session = await open_session(self.folder, served=not self._own_model)
            return self._session

    async def _close(self) -> None:
        async with self._opening:
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    def _loop(self) -> LoopThread:
        with self._starting:
            if self._thread is None:
                self._thread = LoopThread()
                atexit.register(self.close)
            return self._thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop().run(work)

    async def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(self._loop().submit(work))


class LoopThread:
    """An event loop that runs in a thread of its own until `stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="penstock", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the result; an interrupt (Ctrl-C, a notebook's stop button) ends the work."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
