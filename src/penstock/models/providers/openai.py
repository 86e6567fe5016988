"""A remote API that speaks the OpenAI dialect, byte-faithful.

A body that came in this dialect travels as it came, with only the model's name changed and usage asked for in
streams; events are forwarded as they came while usage is read off them. The event that exists only because we
asked for usage is taken out again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from penstock.errors import DeadlineExceeded, PenstockError, UpstreamFailed
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.openai.requests import Wording, renamed, written
from penstock.models.dialects.openai.upstream import (
    EventReader,
    error_message,
    is_error,
    is_object,
    read_body,
    read_embeddings,
    read_event,
    read_usage,
)
from penstock.models.providers.vendors import RemoteSettings

PATHS = {"chat": "/chat/completions", "complete": "/completions", "embed": "/embeddings"}
MAX_BODY = 256 << 20
MAX_ERROR_BODY = 1 << 20
KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than uvicorn's 5, whose servers would close it under a request."""
DRAIN = 0.1
"""Seconds that a finished stream may take to close, so that its connection can be used again."""
DONE = b"[DONE]"


class OpenAIProvider:
    """One model of one OpenAI-compatible vendor (`seams.Provider`).

    Raises `ConfigError` where its key's environment variable is not set.
    """

    def __init__(self, settings: RemoteSettings) -> None:
        self.settings = settings
        vendor = settings.vendor
        self._wording = Wording(limit=vendor.limit, include_usage=vendor.include_usage)
        self._key = settings.api_key.reveal() if settings.api_key else ""
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises `UpstreamFailed` or `DeadlineExceeded`, also between two chunks."""
        faithful = exchange.dialect == "openai"
        call = Call(self, exchange)
        body = self._body(exchange, faithful)
        response = await call.send(self._open(), PATHS.get(exchange.operation, ""), self._headers, body)
        try:
            if response.status != 200:
                raise await call.refusal(response, faithful)
            if exchange.stream and response.content_type != "application/json":
                async for chunk in call.stream(response):
                    yield chunk if faithful else msgspec.structs.replace(chunk, raw=None)
            else:
                yield call.read(await call.whole(response, MAX_BODY), faithful)
        finally:
            # Releasing keeps the connection when the answer was read to its end, and closes it otherwise:
            # that is how the other side learns that nobody listens any more.
            response.release()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def hidden(self, text: str) -> str:
        """A text of the upstream without our key."""
        return text.replace(self._key, "********") if self._key else text

    def _body(self, exchange: Exchange, faithful: bool) -> bytes:
        if not faithful:
            return written(exchange, self.settings.model, self._wording)
        ask = exchange.stream and self._wording.include_usage and not exchange.wants_usage
        return renamed(exchange.body, self.settings.model, include_usage=ask)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeouts = aiohttp.ClientTimeout(total=None, sock_connect=self.settings.timeouts.connect)
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeouts,
                auto_decompress=True,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


class Call:
    """One request to an upstream, with its deadlines and its errors in words."""

    def __init__(self, provider: OpenAIProvider, exchange: Exchange) -> None:
        self._provider = provider
        self._exchange = exchange
        self._settings = provider.settings

    async def send(
        self, session: aiohttp.ClientSession, path: str, headers: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        timeouts = self._settings.timeouts
        try:
            async with self._within(timeouts.first_token):
                return await session.post(
                    self._settings.base_url + path, data=body, headers=headers, allow_redirects=False
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._failure(error, timeouts.first_token) from None

    async def whole(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """The body. Raises `UpstreamFailed` when it is cut or larger than `limit`."""
        data = bytearray()
        try:
            async with self._within(math.inf):
                async for piece in response.content.iter_any():
                    data += piece
                    if len(data) > limit:
                        raise UpstreamFailed(f"{self._settings.name} sent more than {limit >> 20} MiB.")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._failure(error, math.inf) from None
        return bytes(data)

    def read(self, data: bytes, faithful: bool) -> Chunk:
        """A whole answer. Raises `UpstreamFailed` for what is none.

        A caller of this dialect may understand more of it, so any JSON object is passed on.
        """
        if self._exchange.operation != "embed":
            chunk = read_body(data)
        else:
            chunk = None if faithful else read_embeddings(data)  # the vectors may be many, and are passed on
        if chunk is None and not (faithful and is_object(data)):
            said = " ".join(self._provider.hidden(data[:200].decode("utf-8", "replace")).split())
            raise UpstreamFailed(f"{self._settings.name} sent what is not an answer: {said or 'nothing'}")
        if chunk is None:
            return Chunk(usage=read_usage(data), raw=data)
        return chunk if faithful else msgspec.structs.replace(chunk, raw=None)

    async def stream(self, response: aiohttp.ClientResponse) -> AsyncIterator[Chunk]:
        """The events of a stream as chunks. Raises `UpstreamFailed` for one that ends before its end mark."""
        reader = EventReader()
        content = response.content
        timeouts = self._settings.timeouts
        patience = timeouts.first_token
        finished = False
        while True:
            try:
                async with self._within(patience):
                    data = await content.readany()
                events = list(reader.feed(data))
            except (TimeoutError, aiohttp.ClientError, OSError, OverflowError) as error:
                raise self._failure(error, patience) from None
            if not data:
                break
            for each in events:
                if each == DONE:
                    await self._drain(content)
                    return
                event = read_event(each)
                if event.failed:
                    raise self._broken(each)
                finished = finished or event.chunk.finish_reason is not None
                if event.extra and not self._exchange.wants_usage:
                    yield Chunk(usage=event.chunk.usage)
                else:
                    yield event.chunk
            patience = timeouts.between_tokens
        if not finished:
            raise UpstreamFailed(
                f"{self._settings.name} ended its stream before the answer was complete.", hint="Try again."
            )

    async def refusal(self, response: aiohttp.ClientResponse, faithful: bool) -> UpstreamFailed:
        """What an answer with an error status means. Its body is kept where the caller speaks this dialect."""
        name, status = self._settings.name, response.status
        body = await self.whole(response, MAX_ERROR_BODY)
        if status in (401, 403):
            key = self._settings.api_key
            variable = key.env if key else self._settings.vendor.key
            return UpstreamFailed(
                f"{name} refused {'the key' if key else 'a request without a key'} (HTTP {status}).",
                hint=f"Check the key in {variable}." if variable else "Check api_key.",
                upstream_status=status,
            )
        text = self._provider.hidden(body.decode("utf-8", "replace"))
        said = error_message(text.encode()) or " ".join(text[:200].split())
        return UpstreamFailed(
            f"{name} answered with status {status}{f': {said}' if said else ''}",
            retry_after=retry_after(response.headers.get("retry-after")),
            upstream_status=status,
            body=text.encode() if faithful and is_error(body) else None,
        )

    def _broken(self, data: bytes) -> UpstreamFailed:
        text = self._provider.hidden(data.decode("utf-8", "replace"))
        return UpstreamFailed(
            f"{self._settings.name} failed in its stream: {error_message(text.encode()) or 'no reason given'}",
            body=text.encode() if self._exchange.dialect == "openai" else None,
        )

    async def _drain(self, content: aiohttp.StreamReader) -> None:
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(DRAIN):
                while await content.readany():
                    pass

    def _within(self, seconds: float) -> asyncio.Timeout:
        """A limit on one wait: `seconds`, or what is left of the exchange's deadline if that is less."""
        left = min(seconds if self._exchange.stream else math.inf, self._exchange.deadline - time.monotonic())
        return asyncio.timeout(None if left == math.inf else left)

    def _failure(self, error: Exception, patience: float) -> PenstockError:
        name, url = self._settings.name, self._settings.base_url
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = self._settings.timeouts.connect
            return UpstreamFailed(f"{name}: no connection to {url} within {seconds:g} s.", hint=self._where())
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = error.os_error.strerror or str(error.os_error)
            return UpstreamFailed(f"{name}: cannot connect to {url} ({reason}).", hint=self._where())
        if isinstance(error, TimeoutError):
            if time.monotonic() >= self._exchange.deadline:
                return DeadlineExceeded(f"{name} did not finish within the time for this request.")
            return DeadlineExceeded(f"{name} sent nothing for {patience:g} s.", hint="Try again.")
        if isinstance(error, OverflowError):
            return UpstreamFailed(f"{name} sent {error}.")
        return UpstreamFailed(f"{name} closed the connection before the answer was complete.", hint="Try again.")

    def _where(self) -> str:
        if self._settings.vendor.key:
            return "Check the network, and base_url if it is set."
        return f"Is {self._settings.vendor.title} running there? base_url says where it is."


def retry_after(header: str | None) -> float | None:
    """Seconds; a date is not read."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
