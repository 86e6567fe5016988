"""Carries one answer from the pipeline to its client: streamed or whole, to its end or to where it broke.

The client's leaving, the request's deadline and the server's stop all end a flight the same way: its task is
cancelled, which cancels the provider's work, and what can still be said is said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from penstock.errors import DeadlineExceeded, PenstockError, Unavailable
from penstock.exchange import Chunk, Exchange
from penstock.gateway.flight import Flight
from penstock.gateway.meter import Meter
from penstock.http.errors import as_penstock, body_of, headers_of, status_of
from penstock.http.posts import Headers, Post, base_url

CLIENT_LEFT = 499
REQUESTS = logging.getLogger("penstock.requests")
"""Has a line for each request, where `[logs] requests` says so."""
EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
JSON = [(b"content-type", b"application/json")]


class AnswerWriter(Protocol):
    """One answer in a dialect (`models.dialects`)."""

    def event(self, chunk: Chunk) -> bytes: ...

    def end(self) -> bytes: ...

    def whole(self, chunks: list[Chunk]) -> bytes: ...

    def failed(self, error: PenstockError, body: bytes) -> bytes:
        """What ends a stream that broke; `body` is the error as the caller's dialect writes it.

        Empty where the format has no way to say it: the connection is then closed before the answer's end.
        """
        ...


Write = Callable[[Exchange, str], AnswerWriter]
"""Makes a writer with the first chunk, when the exchange knows its release; the text is this server's address."""


TICK = 0.05
"""Seconds between two looks at the deadlines of all answers: a timer for each of them costs more."""


class Running:
    """The answers that are on their way, so that a server that stops can end them, and deadlines hold."""

    def __init__(self) -> None:
        self._answers: set[Answering] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.stopping = False

    def add(self, answer: Answering) -> None:
        self._answers.add(answer)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for answer in [each for each in self._answers if each.deadline <= now]:
            answer.too_late()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look) if self._answers else None

    def remove(self, answer: Answering) -> None:
        self._answers.discard(answer)

    def __len__(self) -> int:
        return len(self._answers)

    def stop(self) -> None:
        """Ends every answer with an error that says why."""
        for answer in tuple(self._answers):
            answer.stop(stopping())


def stopping() -> Unavailable:
    return Unavailable("The server is stopping.", hint="Send the request again in a moment.")


class Answering:
    """One answer on its way. `status` is what the client was told (499: it left before that), `sent` the bytes."""

    __slots__ = (
        "_cause",
        "_finished",
        "_flight",
        "_post",
        "_running",
        "_started",
        "_stopped",
        "_task",
        "_write",
        "_writer",
        "deadline",
        "sent",
        "status",
    )

    def __init__(self, flight: Flight, write: Write, post: Post, running: Running) -> None:
        self._flight = flight
        self.deadline = flight.exchange.deadline
        self._write = write
        self._post = post
        self._running = running
        self._task: asyncio.Task[None] | None = None
        self._started = False
        self._finished = False
        self._stopped = False
        self._cause: PenstockError | None = None
        self._writer: AnswerWriter | None = None
        self.status = 200
        self.sent = 0

    def stop(self, cause: PenstockError | None) -> None:
        """Ends the answer: `cause` is told to the client, `None` means that it left."""
        if self._finished or self._stopped or self._task is None:
            return
        self._stopped = True
        self._cause = self._flight.cause = cause
        self._task.cancel()

    async def deliver(self) -> None:
        """Sends the answer, or the error that ended it. Returns also where the client has left."""
        self._task = asyncio.current_task()
        self._running.add(self)
        self._post.watch(self._left)
        flight = self._flight
        flight.lingers = True
        try:
            try:
                await (self._stream() if flight.exchange.stream else self._whole())
            finally:
                await flight.aclose()
        except asyncio.CancelledError:
            if not self._stopped or self._task is None:
                raise
            self._task.uncancel()
            if self._cause is None:
                self.status = CLIENT_LEFT
            else:
                await self._fail(self._cause)
        except Exception as error:
            await self._fail(as_penstock(error))
        finally:
            self._finished = True
            self._post.unwatch()
            self._running.remove(self)

    async def _stream(self) -> None:
        post = self._post
        writer: AnswerWriter | None = None
        async for chunk in self._flight:
            if writer is None:
                writer = self._writer = self._make_writer()
                data = writer.event(chunk)
                kind = EVENT_STREAM if chunk.media_type is None else declared(chunk.media_type)
                self._started = True
                await post.start(200, kind + self._marks(), data)
            elif data := writer.event(chunk):
                await post.send(data)
            self.sent += len(data)
        if writer is None:
            raise PenstockError("The model gave no answer at all.", hint="Try again.")
        await post.end(writer.end())
        self._finished = True

    async def _whole(self) -> None:
        chunks = [chunk async for chunk in self._flight]
        raw = chunks[0].raw if len(chunks) == 1 else None
        body = raw if raw is not None else self._make_writer().whole(chunks)
        media_type = chunks[0].media_type if chunks else None
        await self._answer(200, JSON if media_type is None else declared(media_type), body)
        self._finished = True

    def _answer(self, status: int, headers: Headers, body: bytes) -> Awaitable[None]:
        self.status = status
        self.sent = len(body)
        self._started = True
        return self._post.answer(status, headers + self._marks(), body)

    async def _fail(self, error: PenstockError) -> None:
        """Tells the client what went wrong: as the answer, or as the last event of one that has begun."""
        self._finished = True
        body = body_of(error, self._flight.exchange.dialect)
        if not self._started:
            await self._answer(status_of(error), headers_of(error), body)
        elif self._writer is not None and (last := self._writer.failed(error, body)):
            await self._post.end(last)

    def _make_writer(self) -> AnswerWriter:
        return self._write(self._flight.exchange, base_url(self._post.scope))

    def _marks(self) -> Headers:
        exchange = self._flight.exchange
        marks = [(b"x-penstock-trace-id", exchange.trace_id.encode())]
        if exchange.release_id:
            marks.append((b"x-penstock-release", exchange.release_id.encode()))
        return marks + self._flight.headers

    def _left(self) -> None:
        self.stop(None)

    def too_late(self) -> None:
        self.stop(
            DeadlineExceeded(
                "The request took longer than this server allows.",
                hint="Ask for a shorter answer, or raise request_seconds under [server] in penstock.toml.",
            )
        )


def declared(media_type: str) -> Headers:
    return [(b"content-type", media_type.encode("latin-1", "replace")), (b"x-content-type-options", b"nosniff")]


def measure(meter: Meter, route: str, status: int, flight: Flight | None, sent: int = 0) -> None:
    """Counts one request that is over, and gives it its line in the log where that is wanted."""
    if flight is None:
        meter.count_request(route, "", status)
        if REQUESTS.isEnabledFor(logging.INFO):
            REQUESTS.info("%s %d", route, status, extra={"fields": {"route": route, "status": status}})
        return
    started = flight.started
    first = None if flight.first_chunk is None else flight.first_chunk - started
    model = flight.target.name if flight.target is not None else ""
    seconds = time.monotonic() - started
    meter.count_request(route, model, status, seconds, first)
    meter.bytes_in += len(flight.exchange.body)
    meter.bytes_out += sent
    if REQUESTS.isEnabledFor(logging.INFO):
        write_line(route, status, flight, Measured(seconds, sent))


class Measured(NamedTuple):
    """What a request took: seconds, and the bytes of its answer's body."""

    seconds: float
    sent: int


def write_line(route: str, status: int, flight: Flight, measured: Measured) -> None:
    """The request's line: what it was and what it took, and nothing of what was said in it."""
    exchange, usage = flight.exchange, flight.usage
    fields = {
        "route": route,
        "model": flight.target.name if flight.target is not None else "",
        "status": status,
        "ms": round(measured.seconds * 1000, 1),
        "input_tokens": usage.prompt_tokens if usage is not None else None,
        "output_tokens": usage.completion_tokens if usage is not None else None,
        "bytes_in": len(exchange.body),
        "bytes_out": measured.sent,
        "key": exchange.principal.key_id,
        "project": exchange.project_id,
        "cache": flight.cache,
        "served_by": flight.served_by,
        "trace_id": exchange.trace_id,
    }
    text = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ""))
    REQUESTS.info("%s", text, extra={"fields": fields})
