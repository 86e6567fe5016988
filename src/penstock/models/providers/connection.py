"""How bytes get to an API and back: its address, its pool of connections, deadlines, and errors in words.

Nothing here knows what the bytes mean, and nothing elsewhere knows which client carries them.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Awaitable
from urllib.parse import urlsplit

from msgspec import Struct

from penstock.errors import DeadlineExceeded, PenstockError, UpstreamFailed, UpstreamTimeout
from penstock.net import BadAnswer, CannotConnect, HttpClient, NetworkError, Origin, TimedOut
from penstock.net import Response as Answer

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("Content-Type", "application/json"),)
MAX_KNOWN = 64
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
        self._client = HttpClient(Origin.of(address.base_url), connect_seconds=address.connect)
        self._path = urlsplit(address.base_url).path.rstrip("/").encode()
        self._own = lines((("Accept-Encoding", "identity"), *address.headers))
        self._known: dict[Headers, bytes] = {}

    def post(self, path: str, body: bytes, patience: Patience, headers: Headers = JSON) -> Awaitable[Response]:
        """The answer once its headers are there, whatever its status; `release` it.

        `path` is appended to the address as it is, percent-encoded by the caller. Raises `UpstreamFailed` of kind
        "connection", `UpstreamTimeout` or `DeadlineExceeded`.
        """
        return self._send(b"POST", path, body, patience, headers)

    def get(self, path: str, patience: Patience) -> Awaitable[Response]:
        """As `post`, without a body."""
        return self._send(b"GET", path, b"", patience, ())

    async def _send(self, method: bytes, path: str, body: bytes, patience: Patience, headers: Headers) -> Response:
        given = self._known.get(headers) or self._head(headers)
        until = min(time.monotonic() + patience.first, patience.deadline)
        try:
            answer = await self._client.send(method, self._path + path.encode("ascii"), given, body, until)
        except NetworkError as error:
            raise failure(self.address, error, patience.first, patience.deadline) from None
        return Response(self.address, answer, patience)

    def _head(self, headers: Headers) -> bytes:
        """All headers as they are sent; those of most requests are the same, and kept."""
        head = self._own + lines(headers)
        if len(self._known) < MAX_KNOWN:
            self._known[headers] = head
        return head

    async def close(self) -> None:
        await self._client.close()


class Response:
    """An answer whose status and headers are there, and whose body is read piece by piece."""

    __slots__ = ("_address", "_answer", "_patience", "_wait", "status")

    def __init__(self, address: Address, answer: Answer, patience: Patience) -> None:
        self.status = answer.status
        self._address = address
        self._answer = answer
        self._patience = patience
        self._wait = patience.first

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        value = self._answer.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; "" where there is none."""
        return media_type(self._answer.headers.get(b"content-type", b""))

    async def read(self) -> bytes:
        """What came since the last call, or comes next; empty at the end. Raises as `Connection.post` does."""
        try:
            data = await self._answer.read(self._until())
        except NetworkError as error:
            raise broken(self._address, error, self._wait, self._patience.deadline) from None
        self._wait = self._patience.between
        return data

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises as `read` does, and `UpstreamFailed` for more than `limit` bytes."""
        answer = self._answer
        if answer.complete:
            try:
                return await answer.body(limit, math.inf)
            except NetworkError as error:
                raise broken(self._address, error, self._wait, self._patience.deadline) from None
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
        until = time.monotonic() + DRAIN
        with contextlib.suppress(NetworkError):
            while await self._answer.read(until):
                pass

    def release(self) -> None:
        """Keeps the connection where the body was read to its end, and closes it otherwise.

        That is how the other side learns that nobody listens any more.
        """
        self._answer.close()

    def _until(self) -> float:
        return min(time.monotonic() + self._wait, self._patience.deadline)


@functools.lru_cache(64)
def media_type(declared: bytes) -> str:
    """What a header of content declares, without parameters, in lower case."""
    return declared.decode("latin-1").partition(";")[0].strip().lower()


def lines(headers: Headers) -> bytes:
    """Headers as they are sent. Raises `ValueError` for one with a line break."""
    text = "".join(f"{name}: {value}\r\n" for name, value in headers)
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError(f"a header with a line break: {', '.join(name for name, _ in headers)}")
    return text.encode("latin-1")


def failure(address: Address, error: NetworkError, waited: float, deadline: float) -> PenstockError:
    """What went wrong on the way, in words. `waited` is how many seconds were allowed."""
    name, url = address.name, address.base_url
    if isinstance(error, TimedOut) and error.connecting:
        if time.monotonic() >= deadline:
            return DeadlineExceeded(f"{name} did not finish within the time for this request.")
        message = f"{name}: no connection to {url} within {min(address.connect, waited):g} s."
        return UpstreamFailed(message, hint=address.hint, kind="connection")
    if isinstance(error, CannotConnect) and error.tls:
        return UpstreamFailed(
            f"{name}: no secure connection to {url} ({error}).",
            hint="Its certificate must be signed by one that this machine trusts; SSL_CERT_FILE adds others.",
            kind="connection",
        )
    if isinstance(error, CannotConnect):
        return UpstreamFailed(f"{name}: cannot connect to {url} ({error}).", hint=address.hint, kind="connection")
    found = broken(address, error, waited, deadline)
    if isinstance(found, UpstreamFailed) and found.kind == "broken_stream":
        found.kind = "connection"
    return found


def broken(address: Address, error: NetworkError, waited: float, deadline: float) -> PenstockError:
    """What went wrong once the answer had begun."""
    if isinstance(error, TimedOut):
        if time.monotonic() >= deadline:
            return DeadlineExceeded(f"{address.name} did not finish within the time for this request.")
        return UpstreamTimeout(f"{address.name} sent nothing for {waited:g} s.", hint="Try again.", kind="timeout")
    if isinstance(error, BadAnswer):
        return UpstreamFailed(f"{address.name} sent {error}.", kind="server_error")
    return UpstreamFailed(
        f"{address.name} closed the connection before the answer was complete.",
        hint="Try again.",
        kind="broken_stream",
    )
