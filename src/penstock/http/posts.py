"""A POST to a model's route as its endpoint sees it, whichever way it came in.

Under Penstock's server that is `connection.DirectPost`. `AsgiPost` is what came through uvicorn and the routes: a
body in chunks, one that waits for `100 Continue`, a request that was sent before the one before it was answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.types import Receive, Scope, Send

from penstock.http.bodies import read_body
from penstock.http.gate import HEADERS

Headers = list[tuple[bytes, bytes]]
Left = Callable[[], None]


class Post(Protocol):
    """What was sent, and the way back: one `answer`, or `start`, `send` for each further piece, and `end`.

    What is written to a client that has left goes nowhere; each writing waits while the client reads too slowly.
    """

    @property
    def scope(self) -> Scope:
        """ASGI's, or as much of it as the gate and the endpoints read."""
        ...

    async def body(self) -> bytes:
        """To be asked once. Raises `ClientLeft`, `RequestTimeout` and `BodyTooLarge`."""
        ...

    def watch(self, left: Left) -> None:
        """From now until `unwatch`, `left` is called when the client closes its connection, or if it has."""
        ...

    def unwatch(self) -> None: ...

    async def answer(self, status: int, headers: Headers, body: bytes) -> None: ...

    async def start(self, status: int, headers: Headers, piece: bytes) -> None: ...

    async def send(self, piece: bytes) -> None:
        """`piece` is not empty."""
        ...

    async def end(self, piece: bytes) -> None: ...


class AsgiPost:
    """A `Post` through ASGI."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None

    async def body(self) -> bytes:
        return await read_body(self._receive)

    def watch(self, left: Left) -> None:
        self._watcher = asyncio.create_task(self._wait(left))

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def _wait(self, left: Left) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        left()

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))], b"")
        await self.end(body)

    async def start(self, status: int, headers: Headers, piece: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if piece:
            await self.send(piece)

    async def send(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": False})


def base_url(scope: Scope) -> str:
    """This server's own address, as the client named it (the guard has checked it)."""
    return f"{scope['scheme']}://{header(scope, b'host')}"


def header(scope: Scope, wanted: bytes) -> str:
    """A header's value, "" where the request has none."""
    value: bytes = scope[HEADERS].get(wanted, b"")
    return value.decode("latin-1")
