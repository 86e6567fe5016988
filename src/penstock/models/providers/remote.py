"""A model behind a remote API: a connection that carries bytes, a dialect that knows what they mean, and the
profile of a vendor that says what it can do. This file joins the three, and knows of no vendor.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable

import msgspec

from penstock.errors import PenstockError, UpstreamFailed
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.base import Counting, Dialect, Failure, Outgoing, StreamFailed, unsupported
from penstock.models.dialects.failures import retry_after
from penstock.models.providers.auth import hidden
from penstock.models.providers.batching import VendorBatches
from penstock.models.providers.connection import Address, Connection, Patience, Response
from penstock.models.providers.speaking import auth_of, dialects_of
from penstock.models.providers.vendors import RemoteSettings

MAX_BODY = 256 << 20
MAX_ERROR_BODY = 1 << 20
UNBOUNDED = (math.inf, math.inf)


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
        first, between = self._patience if exchange.stream else UNBOUNDED
        response = await self._send(dialect.request(exchange), Patience(first, between, exchange.deadline))
        try:
            if response.status != 200:
                raise self._refusal(self._call(exchange), response, await response.body(MAX_ERROR_BODY))
            content_type = response.content_type
            reading = dialect.reading(exchange, content_type)
            if reading is None:
                data = await response.body(MAX_BODY)
                chunk = dialect.whole(exchange, data, content_type)
                if chunk is None:
                    raise self._call(exchange).no_answer(data)
                yield chunk if chunk.media_type is None else declared(chunk, response)
                return
            while data := await response.read():
                for chunk in reading.feed(data):
                    yield chunk if chunk.media_type is None else declared(chunk, response)
                if reading.ended:
                    await response.finish()
                    return
            if not reading.complete:
                raise self._call(exchange).broken("ended its stream before the answer was complete.", "Try again.")
        except StreamFailed as error:
            what = "failed" if reading is None else "failed in its stream"
            raise self._call(exchange).failed(error, what) from None
        except OverflowError as error:
            raise self._call(exchange).broken(f"sent {error}.") from None
        finally:
            response.release()

    async def count_tokens(self, exchange: Exchange) -> int:
        """The prompt tokens of an exchange, as the vendor counts them. Raises as `answer`, `UnsupportedFeature`."""
        dialect = self._others.get(exchange.dialect, self._dialect)
        if not isinstance(dialect, Counting):
            raise unsupported(self.name, "the number of tokens")
        call = self._call(exchange)
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

    def _send(self, outgoing: Outgoing, patience: Patience) -> Awaitable[Response]:
        headers = outgoing.headers
        if signed := self._auth.sign(outgoing.path, outgoing.body):
            headers = (*headers, *signed)
        return self._connection.post(outgoing.path, outgoing.body, patience, headers)

    def _call(self, exchange: Exchange) -> Call:
        return Call(self.name, self._secrets, self._others.get(exchange.dialect, self._dialect), exchange)

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
    """One request to a vendor that failed, and its errors in words."""

    def __init__(self, name: str, secrets: tuple[str, ...], dialect: Dialect, exchange: Exchange) -> None:
        self.dialect = dialect
        self.faithful = exchange.dialect == dialect.name
        self._name = name
        self._secrets = secrets

    def hidden(self, data: bytes) -> str:
        return hidden(data.decode("utf-8", "replace"), self._secrets)

    def no_answer(self, data: bytes) -> UpstreamFailed:
        said = " ".join(self.hidden(data[:200]).split())
        return UpstreamFailed(f"{self._name} sent what is not an answer: {said or 'nothing'}")

    def broken(self, what: str, hint: str = "") -> UpstreamFailed:
        return UpstreamFailed(f"{self._name} {what}", hint=hint, kind="broken_stream")

    def failed(self, error: StreamFailed, what: str) -> UpstreamFailed:
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
