"""uvicorn's HTTP/1.1 connection, with two things that ASGI has no words for: leaving, and answering in one write.

ASGI tells that a client has left only to who waits for its next message, which takes a task for each request; and
it sends the head of an answer and its body as two writes, which takes two calls of the system.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

KEY = "penstock.connection"
Headers = list[tuple[bytes, bytes]]


class HttpConnection(HttpToolsProtocol):
    """One client's connection. Requests find it in their scope at `KEY`."""

    on_left: Callable[[], None] | None = None
    """Called when the client closes the connection while its request is answered."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[KEY] = self

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_left is not None:
            self.on_left()

    def answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer in one write. `DirectRequest.answer` sees that the connection takes it."""
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        content = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            content += (name, b": ", value, b"\r\n")
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise ValueError(f"header {name!r} has a line break")
            content += (name, b": ", value, b"\r\n")
        content.append(b"content-length: %d\r\n" % len(body))
        if not cycle.keep_alive:
            content.append(b"connection: close\r\n")
        content += (b"\r\n", body)
        self.transport.write(b"".join(content))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()


class DirectRequest:
    """One request on an `HttpConnection`, beside ASGI."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: HttpConnection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle

    @property
    def size(self) -> int:
        """Bytes of the body if it has all come, else 0."""
        cycle = self._cycle
        return 0 if cycle.more_body or cycle.disconnected else len(cycle.body)

    def body(self) -> bytes | None:
        """The body if it has all come, else `None`. To be asked once."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        return body

    def watch(self, left: Callable[[], None]) -> None:
        self._connection.on_left = left
        if self._cycle.disconnected:
            left()

    def unwatch(self) -> None:
        self._connection.on_left = None

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Sends a whole answer; false where it has to go another way, because the client reads too slowly."""
        cycle = self._cycle
        if cycle.disconnected:
            return True
        if cycle.response_started or cycle.flow.write_paused:
            return False
        self._connection.answer(cycle, status, headers, body)
        return True


def direct(scope: Scope, receive: Receive) -> DirectRequest | None:
    """The request beside ASGI; `None` under another server, or where `receive` was wrapped on the way."""
    connection = scope.get(KEY)
    cycle = getattr(receive, "__self__", None)
    if connection is None or not isinstance(cycle, RequestResponseCycle):
        return None
    return DirectRequest(connection, cycle)
