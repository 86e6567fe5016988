"""uvicorn's HTTP/1.1 connection, with a way of its own for the requests to models.

Such a request makes no cycle, no events and no messages of ASGI: its body is gathered on the connection, one task
runs its endpoint, and what that writes goes to the transport. Everything else is uvicorn's. Nor has a connection
timers: until when it waits for what is `until`, and the server looks at all of them together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from penstock.errors import PenstockError
from penstock.http.bodies import client_left, too_slow
from penstock.http.front import Front, Serves
from penstock.http.gate import HEADERS
from penstock.http.posts import Headers, Left

NEVER = float("inf")
CLOSE = (b"connection", b"close")

logger = logging.getLogger(__name__)


class HttpConnection(HttpToolsProtocol):
    """One client's connection. `until` is when it has waited enough for a body or the next request, monotonic."""

    cycle: Any
    """The newest request: uvicorn's `RequestResponseCycle`, or a `DirectPost`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._front: Front = cast(Any, config.app).state.front
        self._post: DirectPost | None = None
        self.until = NEVER

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        waits = self.cycle is not None and not self.cycle.response_complete  # for the answer to the one before
        taken = None
        if not waits and self.parser.get_method() == b"POST":
            taken = self._front.admit(self.url, self.headers, self.scheme or "http")
        if taken is None:
            self._pass_on()
            return
        self.until = time.monotonic() + self._front.bodies.seconds
        self._post = DirectPost(self, *taken)
        self.cycle = self._post

    def _pass_on(self) -> None:
        """Gives uvicorn the head of a request, as if it had come just now."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def keeps_alive(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether more may come after this request. In HTTP/1.0 nothing may, even where a header asks for it."""
        parser = self.parser
        return parser.should_keep_alive() and (b"connection" not in headers or parser.get_http_version() != "1.0")

    def on_body(self, body: bytes) -> None:
        post = self._post
        if post is None or self.cycle is not post:
            super().on_body(body)
        elif post.broken is None:
            post.pieces.append(body)

    def on_message_complete(self) -> None:
        post = self._post
        if post is None or self.cycle is not post:
            super().on_message_complete()
        elif post.broken is None:
            self._serve(post)

    def _serve(self, post: DirectPost) -> None:
        self.until = NEVER
        post.task = self.loop.create_task(self._run(post))
        self.tasks.add(post.task)

    async def _run(self, post: DirectPost) -> None:
        try:
            await post.endpoint.serve(post)
        except Exception:
            logger.exception("an answer could not be given")
        finally:
            self.tasks.discard(post.task)
            if not post.response_complete:
                self.transport.close()

    def cut(self, error: PenstockError) -> None:
        """Answers a request whose body is not here yet with what keeps it from coming; others go on."""
        post = self._post
        if post is not None and self.until < NEVER:
            post.broken = error
            self._serve(post)

    def expire(self) -> None:
        """To be called when `until` has come."""
        if self._post is None:
            self.until = NEVER
            self.transport.close()
        else:
            self.cut(too_slow(self._front.bodies.seconds))

    def over(self) -> None:
        """The answer to `_post` was written to its end."""
        self._post = None
        self.on_response_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self.until = time.monotonic() + self.timeout_keep_alive

    def _unset_keepalive_if_required(self) -> None:
        """uvicorn calls it whenever something comes."""
        if self._post is None:
            self.until = NEVER

    def connection_lost(self, exc: Exception | None) -> None:
        post = self._post
        if isinstance(self.cycle, DirectPost):
            self.cycle = None
        super().connection_lost(exc)
        if post is not None:
            self.cut(client_left())
            self._post = None
            post.leave()


class DirectPost:
    """A `Post` past ASGI. It stands where uvicorn has its cycle.

    uvicorn asks it for `response_complete`, and takes `keep_alive` from it when the server stops. `broken` is what
    keeps its body from coming, `pieces` are what has come of it. `task` answers it, once the body is here.
    """

    task: asyncio.Task[None]

    __slots__ = (
        "_connection",
        "_disconnected",
        "_left",
        "broken",
        "endpoint",
        "keep_alive",
        "pieces",
        "response_complete",
        "scope",
        "task",
    )

    def __init__(self, connection: HttpConnection, endpoint: Serves, scope: Scope) -> None:
        self._connection = connection
        self._disconnected = False
        self._left: Left | None = None
        self.endpoint = endpoint
        self.scope = scope
        self.keep_alive = connection.keeps_alive(scope[HEADERS])
        self.pieces: list[bytes] = []
        self.broken: PenstockError | None = None
        self.response_complete = False

    async def body(self) -> bytes:
        if self.broken is not None:
            raise self.broken
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)

    def watch(self, left: Left) -> None:
        self._left = left
        if self._disconnected:
            left()

    def unwatch(self) -> None:
        self._left = None

    def leave(self) -> None:
        """The client has closed its connection."""
        self._disconnected = True
        if self._left is not None:
            self._left()

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()
        head = self._head(status, headers)
        self._write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self._end()

    async def start(self, status: int, headers: Headers, piece: bytes) -> None:
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()
        head = self._head(status, headers)
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self._write(b"%btransfer-encoding: chunked\r\n\r\n%b" % (head, chunk))

    async def send(self, piece: bytes) -> None:
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def end(self, piece: bytes) -> None:
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()
        self._write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece) if piece else b"0\r\n\r\n")
        self._end()

    def _head(self, status: int, headers: Headers) -> bytes:
        """All but the line that says how the body is framed."""
        if CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers = [*headers, CLOSE]
        pieces = [STATUS_LINE[status]]
        for name, value in (*self._connection.server_state.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        head = b"".join(pieces)
        lines = len(pieces) // 4 + 1
        if head.count(b"\n") != lines or head.count(b"\r") != lines:
            raise ValueError("a header has a line break")
        return head

    def _write(self, data: bytes) -> None:
        if not self._disconnected:
            self._connection.transport.write(data)

    def _end(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.over()
