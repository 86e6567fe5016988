"""How bytes get to an API and back: its address, its pool of connections, deadlines, and errors in words.

Nothing here knows what the bytes mean, and nothing elsewhere knows which client carries them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence

import aiohttp
from msgspec import Struct
from yarl import URL

from penstock.errors import DeadlineExceeded, PenstockError, UpstreamFailed, UpstreamTimeout

Headers = Sequence[tuple[str, str]]

JSON: Headers = (("Content-Type", "application/json"),)
KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than uvicorn's 5, whose servers would close it under a request."""
DRAIN = 0.1
"""Seconds that a finished stream may take to close, so that its connection can be used again."""


class Address(Struct, frozen=True, kw_only=True):
    """Where an API is. `name` is what errors call it, `headers` go with every request.

    `connect` is how many seconds a connection may take, `hint` what to do where nobody answers.
    """

    name: str
    base_url: str
    headers: Headers = ()
    connect: float = 10.0
    hint: str = "Check the network, and base_url if it is set."


class Patience(Struct, frozen=True):
    """How long one request may wait: seconds to the first byte of the answer's body and between any two.

    `deadline` is on the monotonic clock.
    """

    first: float = math.inf
    between: float = math.inf
    deadline: float = math.inf


class Connection:
    """Sends requests to one address over connections that are used again.

    Certificates are verified; proxies, redirects, cookies and passwords of the environment are not followed.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, patience: Patience, headers: Headers = JSON) -> Response:
        """The answer once its headers are there, whatever its status; `release` it.

        `path` is appended to the address as it is, percent-encoded by the caller. Raises `UpstreamFailed` of kind
        "connection", `UpstreamTimeout` or `DeadlineExceeded`.
        """
        url = URL(self.address.base_url + path, encoded=True)
        try:
            async with within(patience.first, patience.deadline):
                response = await self._open().post(url, data=body, headers=headers, allow_redirects=False)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise failure(self.address, error, patience.first, patience.deadline) from None
        return Response(self.address, response, patience)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=[("Accept-Encoding", "identity"), *self.address.headers],
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.address.connect),
                auto_decompress=True,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


class Response:
    """An answer whose status and headers are there, and whose body is read piece by piece."""

    __slots__ = ("_address", "_patience", "_response", "_wait", "status")

    def __init__(self, address: Address, response: aiohttp.ClientResponse, patience: Patience) -> None:
        self.status = response.status
        self._address = address
        self._response = response
        self._patience = patience
        self._wait = patience.first

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        return self._response.headers.get(name)

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; "" where there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    async def read(self) -> bytes:
        """What came since the last call, or comes next; empty at the end. Raises as `Connection.post` does."""
        try:
            async with within(self._wait, self._patience.deadline):
                data = await self._response.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise broken(self._address, error, self._wait, self._patience.deadline) from None
        self._wait = self._patience.between
        return data

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises as `read` does, and `UpstreamFailed` for more than `limit` bytes."""
        data = await self.read()
        pieces, size = [data], len(data)
        while data:
            if size > limit:
                raise UpstreamFailed(f"{self._address.name} sent more than {limit >> 20} MiB.")
            data = await self.read()
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)

    async def finish(self) -> None:
        """Waits a moment for the end of a body that holds nothing more of interest."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(DRAIN):
                while await self._response.content.readany():
                    pass

    def release(self) -> None:
        """Keeps the connection where the body was read to its end, and closes it otherwise.

        That is how the other side learns that nobody listens any more.
        """
        self._response.release()


def within(seconds: float, deadline: float) -> asyncio.Timeout:
    """A limit on one wait: `seconds`, or what is left until the deadline if that is less."""
    left = min(seconds, deadline - time.monotonic())
    return asyncio.timeout(None if left == math.inf else left)


def failure(address: Address, error: Exception, waited: float, deadline: float) -> PenstockError:
    """What went wrong on the way, in words. `waited` is how many seconds were allowed."""
    name, url = address.name, address.base_url
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        message = f"{name}: no connection to {url} within {address.connect:g} s."
        return UpstreamFailed(message, hint=address.hint, kind="connection")
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        cause = getattr(error, "certificate_error", None) or error.os_error
        reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
        return UpstreamFailed(
            f"{name}: no secure connection to {url} ({reason}).",
            hint="Its certificate must be signed by one that this machine trusts; SSL_CERT_FILE adds others.",
            kind="connection",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        return UpstreamFailed(f"{name}: cannot connect to {url} ({reason}).", hint=address.hint, kind="connection")
    found = broken(address, error, waited, deadline)
    if isinstance(found, UpstreamFailed) and found.kind == "broken_stream":
        found.kind = "connection"
    return found


def broken(address: Address, error: Exception, waited: float, deadline: float) -> PenstockError:
    """What went wrong once the answer had begun."""
    if isinstance(error, TimeoutError):
        if time.monotonic() >= deadline:
            return DeadlineExceeded(f"{address.name} did not finish within the time for this request.")
        return UpstreamTimeout(f"{address.name} sent nothing for {waited:g} s.", hint="Try again.", kind="timeout")
    return UpstreamFailed(
        f"{address.name} closed the connection before the answer was complete.",
        hint="Try again.",
        kind="broken_stream",
    )
