"""A provider whose silence has a limit, for those that set none themselves: the models of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from penstock.errors import UpstreamTimeout
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.needs import uncounted
from penstock.seams import Provider, TokenCounter


class PacedProvider:
    """Waits at most `first` seconds for the first chunk of a stream, and `between` for each further one.

    `None` is no limit. Answers that are not streamed come whole, and have only their deadline.
    """

    def __init__(self, provider: Provider, first: float | None, between: float | None) -> None:
        self._provider = provider
        self._first = first
        self._between = between

    @property
    def name(self) -> str:
        return self._provider.name

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises `UpstreamTimeout`, and what the provider raises."""
        chunks = self._provider.answer(exchange)
        patience = self._first
        async with aclosing(chunks):  # type: ignore[type-var]
            while True:
                try:
                    async with asyncio.timeout(patience if exchange.stream else None):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    if time.monotonic() >= exchange.deadline:
                        raise
                    message = f"{self.name!r} said nothing for {patience:g} s."
                    raise UpstreamTimeout(message, hint="Try again.", kind="timeout") from None
                if chunk is None:
                    return
                yield chunk
                patience = self._between

    async def count_tokens(self, exchange: Exchange) -> int:
        """Raises `UnsupportedFeature` where the provider cannot tell, and what it raises."""
        if not isinstance(self._provider, TokenCounter):
            raise uncounted(self.name)
        return await self._provider.count_tokens(exchange)

    async def close(self) -> None:
        await self._provider.close()
