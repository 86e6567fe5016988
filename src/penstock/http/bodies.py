"""Bounds on what a client may send: bytes, and the time it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.errors import BodyTooLarge, InvalidRequest, RequestTimeout
from penstock.http.routes import ApiRoute

LINGER_SECONDS = 2.0
LINGER_BYTES = 256 << 20
"""How much of a body that is too large is still taken, so that its sender reads the answer and not a reset."""


class BodyLimits(Struct, kw_only=True):
    """`bytes` of a JSON body, `upload_bytes` of a document, `file_bytes` of a file in a form that is kept.

    `seconds` is how long a body may take to arrive, `file_seconds` one with a file.

    One object for a server; it is changed when the configuration is.
    """

    bytes: int = 20 << 20
    upload_bytes: int = 64 << 20
    file_bytes: int = 200 << 20
    seconds: float = 60.0
    file_seconds: float = 900.0


class BodyLimit:
    """ASGI middleware: reading a body raises `BodyTooLarge` or `RequestTimeout`."""

    def __init__(self, app: ASGIApp, limits: BodyLimits, uploads: Sequence[ApiRoute] = ()) -> None:
        self._app = app
        self._limits = limits
        self._uploads = [(route.method, route.path_regex, route.description.form) for route in uploads]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            receive = LimitedBody(scope, receive, *self._limit(scope))
        await self._app(scope, receive, send)

    def _limit(self, scope: Scope) -> tuple[int, float]:
        """Bytes and seconds."""
        limits = self._limits
        for method, pattern, is_form in self._uploads:
            if method == scope["method"] and pattern.match(scope["path"]):
                return (limits.file_bytes if is_form else limits.upload_bytes), limits.file_seconds
        return limits.bytes, limits.seconds


class LimitedBody:
    """The `receive` of one request, counted and timed."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._size = 0
        self._declared = 0
        self._waits = False
        self._done = False
        for name, value in scope["headers"]:
            if name == b"content-length":
                self._declared = int(value) if value.isdigit() else 0
            elif name == b"expect":
                self._waits = True

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        if self._declared > self._limit:
            if not self._waits:
                await self._discard()
            raise self._too_large()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._done = True
            raise too_slow(self._seconds) from None
        self._size += len(message.get("body", b""))
        self._done = not message.get("more_body", False)
        if self._size > self._limit:
            if not self._done:
                await self._discard()
            raise self._too_large()
        return message

    def _too_large(self) -> BodyTooLarge:
        self._done = True
        return BodyTooLarge(
            f"The body is larger than {self._limit / (1 << 20):.4g} MB, the most that is taken here.",
            hint="Send less, or raise max_body_mb under [server] (for files: max_file_mb of the knowledge, or "
            "under [batches]).",
        )

    async def _discard(self) -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                taken = 0
                while taken < LINGER_BYTES:
                    message = await self._receive()
                    taken += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            pass


class ClientLeft(InvalidRequest):
    """The client closed its connection before its body was complete; nobody reads the answer."""

    status = 499
    code = "client_left"


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises `ClientLeft` where it ends early, and what `LimitedBody` raises."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message["body"]
        return body
    pieces = []
    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
    raise client_left()


def client_left() -> ClientLeft:
    return ClientLeft("The client left before its request was complete.")


def too_slow(seconds: float) -> RequestTimeout:
    return RequestTimeout(f"The body did not arrive within {seconds:g} s.", hint="Send it faster, or send less.")
