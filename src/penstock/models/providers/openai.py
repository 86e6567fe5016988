"""A remote API that speaks the OpenAI dialect, byte-faithful.

A body that came in this dialect travels as it came, with only the model's name changed and usage asked for in
streams; events are forwarded as they came while usage is read off them. The event that exists only because we
asked for usage is taken out again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from msgspec.structs import replace

from penstock.errors import UpstreamFailed
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
from penstock.models.providers.connection import Address, Connection, Patience, Response
from penstock.models.providers.vendors import RemoteSettings

PATHS = {"chat": "/chat/completions", "complete": "/completions", "embed": "/embeddings"}
MAX_BODY = 256 << 20
MAX_ERROR_BODY = 1 << 20
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
        address = Address(
            name=settings.name,
            base_url=settings.base_url,
            headers=(("Authorization", f"Bearer {self._key}"),) if self._key else (),
            connect=settings.timeouts.connect,
        )
        if not vendor.key:
            address = replace(address, hint=f"Is {vendor.title} running there? base_url says where it is.")
        self._connection = Connection(address)

    @property
    def name(self) -> str:
        return self.settings.name

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises `UpstreamFailed` or `DeadlineExceeded`, also between two chunks."""
        faithful = exchange.dialect == "openai"
        call = Call(self, exchange)
        body = self._body(exchange, faithful)
        timeouts = self.settings.timeouts
        patience = (
            Patience(timeouts.first_token, timeouts.between_tokens, exchange.deadline)
            if exchange.stream
            else Patience(deadline=exchange.deadline)
        )
        response = await self._connection.post(PATHS.get(exchange.operation, ""), body, patience)
        try:
            if response.status != 200:
                raise await call.refusal(response, faithful)
            if exchange.stream and response.content_type != "application/json":
                async for chunk in call.stream(response):
                    yield chunk if faithful else msgspec.structs.replace(chunk, raw=None)
            else:
                yield call.read(await response.body(MAX_BODY), faithful)
        finally:
            response.release()

    async def close(self) -> None:
        await self._connection.close()

    def hidden(self, text: str) -> str:
        """A text of the upstream without our key."""
        return text.replace(self._key, "********") if self._key else text

    def _body(self, exchange: Exchange, faithful: bool) -> bytes:
        if not faithful:
            return written(exchange, self.settings.model, self._wording)
        ask = exchange.stream and self._wording.include_usage and not exchange.wants_usage
        return renamed(exchange.body, self.settings.model, include_usage=ask)


class Call:
    """One request to an upstream, with its deadlines and its errors in words."""

    def __init__(self, provider: OpenAIProvider, exchange: Exchange) -> None:
        self._provider = provider
        self._exchange = exchange
        self._settings = provider.settings

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

    async def stream(self, response: Response) -> AsyncIterator[Chunk]:
        """The events of a stream as chunks. Raises `UpstreamFailed` for one that ends before its end mark."""
        reader = EventReader()
        finished = False
        while data := await response.read():
            try:
                events = list(reader.feed(data))
            except OverflowError as error:
                raise UpstreamFailed(f"{self._settings.name} sent {error}.") from None
            for each in events:
                if each == DONE:
                    await response.finish()
                    return
                event = read_event(each)
                if event.failed:
                    raise self._broken(each)
                finished = finished or event.chunk.finish_reason is not None
                if event.extra and not self._exchange.wants_usage:
                    yield Chunk(usage=event.chunk.usage)
                else:
                    yield event.chunk
        if not finished:
            raise UpstreamFailed(
                f"{self._settings.name} ended its stream before the answer was complete.", hint="Try again."
            )

    async def refusal(self, response: Response, faithful: bool) -> UpstreamFailed:
        """What an answer with an error status means. Its body is kept where the caller speaks this dialect."""
        name, status = self._settings.name, response.status
        body = await response.body(MAX_ERROR_BODY)
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
            retry_after=retry_after(response.header("retry-after")),
            upstream_status=status,
            body=text.encode() if faithful and is_error(body) else None,
        )

    def _broken(self, data: bytes) -> UpstreamFailed:
        text = self._provider.hidden(data.decode("utf-8", "replace"))
        return UpstreamFailed(
            f"{self._settings.name} failed in its stream: {error_message(text.encode()) or 'no reason given'}",
            body=text.encode() if self._exchange.dialect == "openai" else None,
        )


def retry_after(header: str | None) -> float | None:
    """Seconds; a date is not read."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
