"""Scores from any API of reranking (`/v1/rerank`): a `Reranker` over a remote model."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.errors import PenstockError, UpstreamFailed
from penstock.exchange import Exchange
from penstock.ids import new_id, new_trace_id
from penstock.models.encoders.remote import speakable, transient
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import RemoteSettings
from penstock.seams import EngineHealth

ATTEMPTS = 2
"""Of one request: somebody waits for it, and without it there is still an order."""

PAUSE = 0.25


class RemoteReranker:
    """Scores from 0 to 1 by a model elsewhere (`seams.Reranker`).

    Vendors give numbers from 0 to 1, and those that give logits are brought there by the sigmoid. Raises
    `ConfigError` where the environment variable of its key is not set.
    """

    def __init__(self, settings: RemoteSettings, name: str = "", request_seconds: float = 20.0) -> None:
        self._settings = settings
        self._name = name or settings.name
        self._seconds = request_seconds
        self._provider = RemoteProvider(settings)
        self._running = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        settings = self._settings
        shaping = f"{settings.model} {settings.own_address}"
        return f"{settings.name}:{hashlib.sha256(shaping.encode()).hexdigest()[:16]}"

    async def start(self) -> None:
        """Nothing is to be started."""

    async def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Reranker.rerank`. Raises `UpstreamFailed` or `DeadlineExceeded`."""
        if not texts:
            return np.empty(0, np.float32)
        exchange = Exchange(
            id=new_id("req"),
            trace_id=new_trace_id(),
            operation="rerank",
            model=self._settings.model,
            prompt=speakable(query),
            inputs=tuple(speakable(text) for text in texts),
            deadline=time.monotonic() + self._seconds,
        )
        self._running += 1
        try:
            return await self._scores(exchange)
        finally:
            self._running -= 1

    def health(self) -> EngineHealth:
        detail = f"{self._settings.name} at {self._settings.base_url}"
        return EngineHealth(state="ready", model=self.name, running=self._running, detail=detail)

    async def close(self) -> None:
        await self._provider.close()

    async def _scores(self, exchange: Exchange) -> NDArray[np.float32]:
        for attempt in range(ATTEMPTS):
            try:
                ranking = [each async for chunk in self._provider.answer(exchange) for each in chunk.ranking]
                break
            except PenstockError as error:
                wait = error.retry_after or PAUSE
                if attempt + 1 == ATTEMPTS or not transient(error) or time.monotonic() + wait > exchange.deadline:
                    raise
            await asyncio.sleep(wait)
        return self._checked(ranking, len(exchange.inputs))

    def _checked(self, ranking: Sequence[tuple[int, float]], count: int) -> NDArray[np.float32]:
        """A score for each text. Raises `UpstreamFailed` that names what is wrong."""
        scores = np.full(count, np.nan, np.float32)
        for place, score in ranking:
            if not 0 <= place < count:
                raise self._wrong(f"ranked a text {place} of {count}")
            scores[place] = score
        if missing := int(np.isnan(scores).sum()):
            raise self._wrong(f"sent scores for {count - missing} of {count} texts")
        if not np.isfinite(scores).all():
            raise self._wrong("sent a score that is not finite")
        if scores.min() < 0 or scores.max() > 1:
            return np.asarray(1 / (1 + np.exp(-scores.astype(np.float64))), np.float32)
        return scores

    def _wrong(self, what: str) -> UpstreamFailed:
        return UpstreamFailed(f"{self.name} {what}.", hint="Is it a model that reranks?")
