"""An HTTP/1.1 client for one server: pooled connections, deadlines, no redirects, no proxies, no cookies."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Self
from urllib.parse import urlsplit

from msgspec import Struct

from penstock.net.errors import CannotConnect, TimedOut
from penstock.net.exchange import Connection, Response
from penstock.net.watch import Watch

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than uvicorn's 5, whose servers would close it under a request."""


class Origin(Struct, frozen=True):
    """Where a server is."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of an http or https address. Raises `ValueError` for any other."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http or https address")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls)

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class HttpClient:
    """Requests to one origin. Belongs to the event loop that uses it first; `close` ends its idle connections."""

    def __init__(self, origin: Origin, *, connect_seconds: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        self._origin = origin
        self._connect_seconds = connect_seconds
        self._tls = tls
        self._idle: list[Connection] = []
        self._watch = Watch()
        self._closed = False
        self._prefix = b" HTTP/1.1\r\nHost: " + origin.authority.encode() + b"\r\n"

    async def send(self, method: bytes, path: bytes, headers: bytes, body: bytes, until: float) -> Response:
        """Sends a request and waits for the head of its answer, up to `until` on the monotonic clock.

        `headers` are lines that each end in CRLF, without Host and Content-Length. A connection that the server
        had closed while it was idle is replaced once. Raises a `NetworkError`. Close the response in any case.
        """
        head = b"%b %b%b%bContent-Length: %d\r\n\r\n" % (method, path, self._prefix, headers, len(body))
        while True:
            connection = self._take() or await self._connect(until)
            response = connection.send(head, body)
            try:
                await response.started(until)
            except BaseException:
                response.close()
                if response.is_stale:
                    continue
                raise
            return response

    async def close(self) -> None:
        """Ends idle connections; those in use end with their answers."""
        self._closed = True
        self._watch.close()
        while self._idle:
            self._idle.pop().abort()

    def _take(self) -> Connection | None:
        oldest = time.monotonic() - KEEP_ALIVE
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    def _give(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        self._idle.append(connection)
        first = self._idle[0]
        if (
            connection.idle_since - first.idle_since > KEEP_ALIVE
        ):  # the bottom of the pile is never taken: let it go
            self._idle.pop(0).abort()

    async def _connect(self, until: float) -> Connection:
        loop = asyncio.get_running_loop()
        origin = self._origin
        left = until - time.monotonic()
        try:
            async with asyncio.timeout(min(self._connect_seconds, left)):
                transport, connection = await loop.create_connection(
                    lambda: Connection(self._watch, self._give),
                    origin.host,
                    origin.port,
                    ssl=self._context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                    proto=socket.IPPROTO_TCP,
                )
        except TimeoutError as error:
            if error.errno:  # the system gave up, not the deadline
                raise CannotConnect(error.strerror or str(error)) from None
            raise TimedOut(connecting=True) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise CannotConnect(reason, tls=True) from None
        except OSError as error:
            raise CannotConnect(error.strerror or str(error)) from None
        transport.set_write_buffer_limits(high=1 << 20)
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
