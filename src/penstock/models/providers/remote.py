"""A model behind a remote API: a connection that carries bytes, a dialect that knows what they mean, and the
profile of a vendor that says what it can do. This file joins the three, and knows of no vendor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from penstock.errors import FailureKind, PenstockError, UpstreamFailed
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.base import Counting, Dialect, Failure, Outgoing, Reading, StreamFailed, unsupported
from penstock.models.dialects.failures import retry_after
from penstock.models.providers.auth import hidden
from penstock.models.providers.batching import VendorBatches
from penstock.models.providers.connection import Address, Connection, Patience, Response
from penstock.models.providers.speaking import auth_of, dialects_of
from penstock.models.providers.vendors import RemoteSettings

MAX_BODY = 256 << 20
MAX_ERROR_BODY = 1 << 20


class RemoteProvider:
    """One model of one vendor (`seams.Provider`).

    Raises `ConfigError` where the environment variable of its key is not set, or a setting that its vendor needs
    is missing.
    """

    def __init__(self, settings: RemoteSettings) -> None:
        self.settings = settings
        self._auth = auth_of(settings)
        self._secrets = (*self._auth.secrets, *settings.secret_headers())
        self._dialect, self._others = dialects_of(settings)
        timeouts = settings.timeouts
        self._patience = (timeouts.first_token, timeouts.between_tokens)
        vendor = settings.vendor
        hint = "Check the network, and base_url if it is set."
        if not vendor.key:
            hint = f"Is {vendor.title} running there? base_url says where it is."
        self._connection = Connection(
            Address(
                name=settings.name,
                base_url=settings.base_url,
                headers=(*self._auth.fixed, *vendor.headers.items(), *settings.revealed_headers()),
                connect=timeouts.connect,
                hint=hint,
            )
        )

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def dialects(self) -> frozenset[str]:
        """The dialects whose bytes it forwards as they come."""
        return frozenset({self._dialect.name, *self._others})

    @property
    def batches(self) -> VendorBatches | None:
        """The vendor's own batches, `None` where its API has none like OpenAI's."""
        if self._dialect.name != "openai":
            return None
        settings = self.settings
        return VendorBatches(settings.name, self._connection, settings.path, self._secrets)

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises `UpstreamFailed` or `DeadlineExceeded`, also between two chunks."""
        dialect = self._others.get(exchange.dialect, self._dialect)
        call = Call(self.name, self._secrets, dialect, exchange)
        outgoing = dialect.request(exchange)
        if exchange.stream:
            patience = Patience(*self._patience, exchange.deadline)
        else:
            patience = Patience(deadline=exchange.deadline)
        response = await self._send(outgoing, patience)
        try:
            if response.status != 200:
                raise self._refusal(call, response, await response.body(MAX_ERROR_BODY))
            reading = dialect.reading(exchange, response.content_type)
            if reading is None:
                chunk = call.whole(await response.body(MAX_BODY), response.content_type)
                yield chunk if chunk.media_type is None else declared(chunk, response)
            else:
                async for chunk in call.stream(response, reading):
                    yield chunk
        finally:
            response.release()

    async def count_tokens(self, exchange: Exchange) -> int:
        """The prompt tokens of an exchange, as the vendor counts them. Raises as `answer`, `UnsupportedFeature`."""
        dialect = self._others.get(exchange.dialect, self._dialect)
        if not isinstance(dialect, Counting):
            raise unsupported(self.name, "the number of tokens")
        call = Call(self.name, self._secrets, dialect, exchange)
        response = await self._send(dialect.counting(exchange), Patience(deadline=exchange.deadline))
        try:
            body = await response.body(MAX_ERROR_BODY)
            if response.status != 200:
                raise self._refusal(call, response, body)
        finally:
            response.release()
        count = dialect.count(body)
        if count is None:
            raise call.no_answer(body)
        return count

    async def close(self) -> None:
        await self._connection.close()

    async def _send(self, outgoing: Outgoing, patience: Patience) -> Response:
        headers = outgoing.headers
        if signed := self._auth.sign(outgoing.path, outgoing.body):
            headers = (*headers, *signed)
        return await self._connection.post(outgoing.path, outgoing.body, patience, headers)

    def _refusal(self, call: Call, response: Response, body: bytes) -> PenstockError:
        """What an answer with an error status means."""
        status = response.status
        failure = call.dialect.failure(status, body)
        wait = retry_after(response.header("retry-after"), response.header("retry-after-ms"))
        wait = failure.retry_after if wait is None else wait
        if failure.kind == "auth" and status != 402:
            return self._refused(status, failure)
        text = call.hidden(body)
        said = hidden(failure.message, self._secrets) or " ".join(text[:200].split())
        return UpstreamFailed(
            f"{self.name} answered with status {status}{f': {said}' if said else ''}",
            kind=failure.kind,
            retry_after=wait,
            upstream_status=status,
            body=text.encode() if failure.forward and call.faithful else None,
        )

    def _refused(self, status: int, failure: Failure) -> UpstreamFailed:
        """The vendor does not accept who we are. If it doubts the key, its words are not shown: some repeat it."""
        settings = self.settings
        key = settings.account.token or settings.api_key
        variable = key.env if key else settings.vendor.key
        has_one = bool(self._auth.secrets)
        said = hidden(failure.message, self._secrets) if status == 403 else ""
        return UpstreamFailed(
            f"{self.name} refused {'the key' if has_one else 'a request without a key'} (HTTP {status})."
            + (f" It says: {said}" if said else ""),
            hint=f"Check the key in {variable}." if variable else "Check api_key.",
            kind=failure.kind,
            upstream_status=status,
        )


class Call:
    """One request to a vendor, and its errors in words."""

    def __init__(self, name: str, secrets: tuple[str, ...], dialect: Dialect, exchange: Exchange) -> None:
        self.dialect = dialect
        self.faithful = exchange.dialect == dialect.name
        self._name = name
        self._secrets = secrets
        self._exchange = exchange

    def hidden(self, data: bytes) -> str:
        return hidden(data.decode("utf-8", "replace"), self._secrets)

    def whole(self, data: bytes, content_type: str) -> Chunk:
        """An answer that was not streamed. Raises `UpstreamFailed` for what is none."""
        try:
            chunk = self.dialect.whole(self._exchange, data, content_type)
        except StreamFailed as error:
            raise self._failed(error, "failed") from None
        if chunk is None:
            raise self.no_answer(data)
        return chunk

    def no_answer(self, data: bytes) -> UpstreamFailed:
        said = " ".join(self.hidden(data[:200]).split())
        return UpstreamFailed(f"{self._name} sent what is not an answer: {said or 'nothing'}")

    async def stream(self, response: Response, reading: Reading) -> AsyncIterator[Chunk]:
        """The chunks of a stream. Raises `UpstreamFailed` for one that ends before its end mark."""
        while data := await response.read():
            try:
                for chunk in reading.feed(data):
                    yield chunk if chunk.media_type is None else declared(chunk, response)
            except StreamFailed as error:
                raise self._failed(error, "failed in its stream") from None
            except OverflowError as error:
                raise self._broken(f"sent {error}.") from None
            if reading.ended:
                await response.finish()
                return
        if not reading.complete:
            raise self._broken("ended its stream before the answer was complete.", hint="Try again.")

    def _broken(self, what: str, *, hint: str = "", kind: FailureKind = "broken_stream") -> UpstreamFailed:
        return UpstreamFailed(f"{self._name} {what}", hint=hint, kind=kind)

    def _failed(self, error: StreamFailed, what: str) -> UpstreamFailed:
        failure = error.failure
        said = hidden(failure.message, self._secrets) or "no reason given"
        return UpstreamFailed(
            f"{self._name} {what}: {said}",
            kind=failure.kind,
            retry_after=failure.retry_after,
            body=self.hidden(error.data).encode() if self.faithful else None,
        )


def declared(chunk: Chunk, response: Response) -> Chunk:
    """A chunk of bytes that are forwarded, with their media type as it was declared, parameters included."""
    return msgspec.structs.replace(chunk, media_type=response.header("content-type") or chunk.media_type)
