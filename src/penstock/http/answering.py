"""Carries one answer from the pipeline to its client: streamed or whole, to its end or to where it broke.

The client's leaving, the request's deadline and the server's stop all end a flight the same way: its task is
cancelled, which cancels the provider's work, and what can still be said is said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from starlette.types import Receive, Send

from penstock.errors import DeadlineExceeded, PenstockError, Unavailable
from penstock.exchange import Chunk, Exchange
from penstock.gateway.flight import Flight
from penstock.gateway.meter import Meter
from penstock.http.connection import DirectRequest
from penstock.http.errors import as_penstock, body_of, headers_of, status_of

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


MakeWriter = Callable[[Exchange], AnswerWriter]
"""Called with the first chunk, when the exchange knows its release."""


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
            answer.stop(Unavailable("The server is stopping.", hint="Send the request again in a moment."))


class Answering:
    """One answer on its way. `status` is what the client was told (499: it left before that), `sent` the bytes."""

    __slots__ = (
        "_cause",
        "_dialect",
        "_direct",
        "_finished",
        "_flight",
        "_make_writer",
        "_running",
        "_started",
        "_stopped",
        "_task",
        "_writer",
        "deadline",
        "sent",
        "status",
    )

    def __init__(
        self, flight: Flight, make_writer: MakeWriter, running: Running, direct: DirectRequest | None = None
    ) -> None:
        self._flight = flight
        self._dialect = flight.exchange.dialect
        self.deadline = flight.exchange.deadline
        self._make_writer = make_writer
        self._running = running
        self._direct = direct
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

    async def deliver(self, receive: Receive, send: Send) -> None:
        """Sends the answer, or the error that ended it. Returns also where the client has left."""
        self._task = asyncio.current_task()
        self._running.add(self)
        watcher = None
        if self._direct is not None:
            self._direct.watch(self._left)
        else:
            watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._send(send)
        except asyncio.CancelledError:
            if not self._stopped or self._task is None:
                raise
            self._task.uncancel()
            if self._cause is None:
                self.status = CLIENT_LEFT
            else:
                await self._fail(send, self._cause)
        except Exception as error:
            await self._fail(send, as_penstock(error))
        finally:
            self._finished = True
            if watcher is not None:
                watcher.cancel()
            elif self._direct is not None:
                self._direct.unwatch()
            self._running.remove(self)

    async def _send(self, send: Send) -> None:
        flight = self._flight
        flight.lingers = True
        try:
            if flight.exchange.stream:
                await self._stream(send)
                return
            chunks = [chunk async for chunk in flight]
            await self._whole(send, chunks)
        finally:
            await flight.aclose()

    async def _stream(self, send: Send) -> None:
        writer: AnswerWriter | None = None
        async for chunk in self._flight:
            if writer is None:
                writer = self._writer = self._make_writer(self._flight.exchange)
                kind = EVENT_STREAM if chunk.media_type is None else declared(chunk.media_type)
                await self._start(send, 200, kind + self._marks())
            if data := writer.event(chunk):
                self.sent += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        if writer is None:
            raise PenstockError("The model gave no answer at all.", hint="Try again.")
        await send({"type": "http.response.body", "body": writer.end(), "more_body": False})
        self._finished = True

    async def _whole(self, send: Send, chunks: list[Chunk]) -> None:
        raw = chunks[0].raw if len(chunks) == 1 else None
        body = raw if raw is not None else self._make_writer(self._flight.exchange).whole(chunks)
        media_type = chunks[0].media_type if chunks else None
        kind = JSON if media_type is None else declared(media_type)
        await self._answer(send, 200, kind + self._marks(), body)
        self._finished = True

    async def _answer(self, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.sent = len(body)
        if self._direct is not None and self._direct.answer(status, headers, body):
            self._started = True
            self.status = status
            return
        await self._start(send, status, [*headers, (b"content-length", b"%d" % len(body))])
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _fail(self, send: Send, error: PenstockError) -> None:
        """Tells the client what went wrong: as the answer, or as the last event of one that has begun."""
        self._finished = True
        body = body_of(error, self._dialect)
        if self._started:
            if self._writer is not None and (last := self._writer.failed(error, body)):
                await send({"type": "http.response.body", "body": last, "more_body": False})
            return
        await self._answer(send, status_of(error), headers_of(error) + self._marks(), body)

    async def _start(self, send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        self.status = status
        await send({"type": "http.response.start", "status": status, "headers": headers})

    def _marks(self) -> list[tuple[bytes, bytes]]:
        exchange = self._flight.exchange
        marks = [(b"x-penstock-trace-id", exchange.trace_id.encode())]
        if exchange.release_id:
            marks.append((b"x-penstock-release", exchange.release_id.encode()))
        return marks + self._flight.headers

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        self.stop(None)

    def too_late(self) -> None:
        self.stop(
            DeadlineExceeded(
                "The request took longer than this server allows.",
                hint="Ask for a shorter answer, or raise request_seconds under [server] in penstock.toml.",
            )
        )


def declared(media_type: str) -> list[tuple[bytes, bytes]]:
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
