"""Events sent to one configured address, signed and retried as Standard Webhooks says (standardwebhooks.com).

    webhook-id         the event's id, the same for every try
    webhook-timestamp  seconds since 1970
    webhook-signature  v1,BASE64 of the HMAC-SHA256 over "ID.TIMESTAMP.BODY" under the configured key

A key that begins with `whsec_` is base64 behind that, any other is taken as it stands.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Sequence

import aiohttp
import msgspec
from msgspec import Struct

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.config.secret import Secret
from penstock.errors import ConfigError
from penstock.ids import new_id

PAUSES = (1.0, 5.0, 30.0, 120.0)
"""Seconds before each further try."""
MOST_WAITING = 500
TRY_SECONDS = 10.0
WORTH_ANOTHER = frozenset({408, 425, 429, 500, 502, 503, 504})

logger = logging.getLogger(__name__)


class Sent(Struct, frozen=True):
    """An event on its way."""

    id: str
    body: bytes


class Webhook:
    """Sends events in their order; `run` does the sending. What waits is bounded, and lost when the process ends.

    Redirects are not followed: only the configured address is ever called.
    """

    def __init__(
        self,
        address: str,
        secret: Secret | None = None,
        clock: Clock = SYSTEM_CLOCK,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """Raises `ConfigError` where the secret cannot be read."""
        self._address = address
        self._key = key_of(secret.reveal()) if secret is not None else None
        self._clock = clock
        self._pauses = pauses
        self._waiting: asyncio.Queue[Sent] = asyncio.Queue(MOST_WAITING)

    def send(self, type_: str, data: Struct) -> None:
        """Queues an event and returns at once."""
        event = {"type": type_, "timestamp": self._clock.now_us() // 1_000_000, "data": data}
        try:
            self._waiting.put_nowait(Sent(new_id("evt"), msgspec.json.encode(event)))
        except asyncio.QueueFull:
            logger.error("an event of type %s is lost: %d wait for the webhook", type_, MOST_WAITING)

    async def run(self) -> None:
        """Sends until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=TRY_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self._deliver(session, await self._waiting.get())

    async def _deliver(self, session: aiohttp.ClientSession, event: Sent) -> None:
        problem = ""
        for pause in (*self._pauses, None):
            problem, worth_another = await self._try(session, event)
            if not problem:
                return
            if not worth_another or pause is None:
                break
            await asyncio.sleep(pause)
        logger.error("event %s did not reach the webhook: %s", event.id, problem)

    async def _try(self, session: aiohttp.ClientSession, event: Sent) -> tuple[str, bool]:
        """What went wrong, "" for nothing, and whether another try may help."""
        headers = {"content-type": "application/json", **self.signature(event)}
        try:
            async with session.post(
                self._address, data=event.body, headers=headers, allow_redirects=False
            ) as response:
                if 200 <= response.status < 300:
                    return "", False
                return f"it answered with status {response.status}", response.status in WORTH_ANOTHER
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}", True

    def signature(self, event: Sent) -> dict[str, str]:
        """The headers of one try. Each has a timestamp of its own, so that a late one is not taken for a replay."""
        timestamp = str(self._clock.now_us() // 1_000_000)
        headers = {"webhook-id": event.id, "webhook-timestamp": timestamp}
        if self._key is not None:
            signed = b".".join([event.id.encode(), timestamp.encode(), event.body])
            digest = hmac.new(self._key, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers


def key_of(secret: str) -> bytes:
    prefix, mark, encoded = secret.partition("whsec_")
    if prefix or not mark:
        return secret.encode()
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ConfigError(
            "The secret of [events] begins with 'whsec_', and what follows is not base64.",
            hint="Copy it again from whoever receives the events.",
        ) from None
