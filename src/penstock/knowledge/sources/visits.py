"""One web page asked for: paced, within limits, redirects followed one by one, its content in a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Literal

import aiohttp
from msgspec import Struct
from yarl import URL

from penstock.knowledge.sources.download import TooLarge, save
from penstock.knowledge.sources.reach import AddressRefused, Reach, normal
from penstock.knowledge.values import Status

REDIRECTS = 5
LONGEST_WAIT = 30.0
"""Seconds that a server may ask to be given before it is tried a second time."""
ACCEPT = "text/html, application/xhtml+xml, text/plain, application/pdf;q=0.9, */*;q=0.5"

Outcome = Literal["page", "same", "gone", "left", "unknown"]


class Validators(Struct, frozen=True):
    """What a server said of a page's version; "" where it said nothing."""

    etag: str = ""
    modified: str = ""


NONE = Validators()


class Visit(Struct, frozen=True, kw_only=True):
    """What came of asking for `url`, which is where redirects ended.

    "page": its content is in `file`; "same": as the validators know it; "gone": 404 or 410; "left": it is not to be
    taken in, for `reason`; "unknown": nobody can say now, for `reason`. `content_type` and `robots` are headers.
    `refused` says that the server answered with another 4xx.
    """

    url: str
    outcome: Outcome
    reason: str = ""
    status: Status = "unreadable"
    file: Path | None = None
    digest: str = ""
    size: int = 0
    validators: Validators = NONE
    content_type: str = ""
    robots: str = ""
    refused: bool = False


class WebLimits(Struct, frozen=True, kw_only=True):
    """Bytes and seconds of one page, requests a second, and what requests call themselves."""

    max_bytes: int = 50_000_000
    seconds: float = 60.0
    rate: float = 2.0
    user_agent: str = "Penstock"


class Pace:
    """Lets one through every so often."""

    def __init__(self, rate: float) -> None:
        self.interval = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + self.interval
        if at > now:
            await asyncio.sleep(at - now)


class Visitor:
    """Asks for pages; what it gets is kept in `folder`, which must exist. Belongs to one event loop."""

    def __init__(self, reach: Reach, limits: WebLimits, folder: Path) -> None:
        self.pace = Pace(limits.rate)
        self._reach = reach
        self._limits = limits
        self._folder = folder
        self._names = count()
        self._session: aiohttp.ClientSession | None = None

    async def visit(
        self,
        url: URL,
        validators: Validators = NONE,
        check: Callable[[URL], Awaitable[Visit | None]] | None = None,
    ) -> Visit:
        """`check` says what comes of an address that must not be asked for. Raises nothing of its own."""
        here, temporary = url, False
        for _ in range(REDIRECTS + 1):
            if not self._reach.allows(here):
                reason = f"It leads to {here.origin()}, which is none of the configured hosts."
                return unknown(url, reason) if temporary else left(url, reason)
            if check is not None and (refusal := await check(here)):
                return refusal
            answer = await self._once(here, validators)
            if isinstance(answer, Visit):
                return answer
            target, lasting = answer
            temporary = temporary or not lasting
            here = target
        return unknown(url, f"It was redirected more than {REDIRECTS} times.")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, url: URL, validators: Validators) -> Visit | tuple[URL, bool]:
        """One request: what came of it, or where it leads to and whether for good."""
        headers = {"If-None-Match": validators.etag, "If-Modified-Since": validators.modified}
        headers = {name: value for name, value in headers.items() if value}
        try:
            for attempt in range(2):
                await self.pace.turn()
                async with self._opened().get(url, headers=headers, allow_redirects=False) as response:
                    wait = retry_after(response) if attempt == 0 else None
                    if wait is None:
                        return await self._answered(url, response, conditional=bool(headers))
                await asyncio.sleep(wait)
            raise AssertionError("the second attempt is never put off")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused = getattr(error, "os_error", error)
            if isinstance(refused, AddressRefused):
                return unknown(url, f"{refused}.")
            return unknown(url, f"{url.host} could not be reached: {reason_of(error)}.")

    async def _answered(
        self, url: URL, response: aiohttp.ClientResponse, *, conditional: bool
    ) -> Visit | tuple[URL, bool]:
        status = response.status
        if status in (301, 302, 303, 307, 308):
            target = normal(url.join(URL(response.headers.get("Location", ""))))
            if target is None:
                return unknown(url, "It redirects to what is no address.")
            return target, status in (301, 308)
        if status == 200:
            return await self._downloaded(url, response)
        if status == 304 and conditional:
            return Visit(url=str(url), outcome="same")
        if status in (404, 410):
            return Visit(url=str(url), outcome="gone", reason=f"It is no longer there ({status}).")
        refused = 400 <= status < 500 and status != 429
        return Visit(url=str(url), outcome="unknown", reason=f"The server answered {status}.", refused=refused)

    async def _downloaded(self, url: URL, response: aiohttp.ClientResponse) -> Visit:
        limit = self._limits.max_bytes
        length = response.content_length
        if length is not None and length > limit:
            return too_large(url, limit)
        file = self._folder / f"page-{next(self._names)}"
        try:
            saved = await save(response.content.iter_chunked(1 << 16), file, limit)
        except TooLarge:
            return too_large(url, limit)
        headers = response.headers
        return Visit(
            url=str(url),
            outcome="page",
            file=file,
            digest=saved.digest,
            size=saved.size,
            validators=Validators(headers.get("ETag", ""), headers.get("Last-Modified", "")),
            content_type=headers.get("Content-Type", ""),
            robots=", ".join(headers.getall("X-Robots-Tag", ())),
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    socket_factory=self._reach.open_socket,
                    use_dns_cache=False,
                    limit=16,
                ),
                timeout=aiohttp.ClientTimeout(total=self._limits.seconds, sock_connect=10.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._limits.user_agent, "Accept": ACCEPT},
                trust_env=False,
            )
        return self._session


def unknown(url: URL, reason: str) -> Visit:
    return Visit(url=str(url), outcome="unknown", reason=reason)


def left(url: URL, reason: str) -> Visit:
    return Visit(url=str(url), outcome="left", reason=reason)


def too_large(url: URL, limit: int) -> Visit:
    reason = f"It has more than the {limit / 1e6:,.0f} MB that one file may have."
    return Visit(url=str(url), outcome="left", status="too_large", reason=reason)


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds after which a busy server wants to be asked again, where that is soon."""
    if response.status not in (429, 503):
        return None
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isdigit() and float(said) <= LONGEST_WAIT else None


def reason_of(error: Exception) -> str:
    """An error of the network in a few words."""
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__
