"""Vectors from any API of embeddings: an `Embedder` over a remote model, in whatever dialect its vendor speaks."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.errors import DeadlineExceeded, PenstockError, Unavailable, UpstreamFailed
from penstock.exchange import Exchange
from penstock.ids import new_id, new_trace_id
from penstock.models.encoders.coalescing import Batch, BatchLimits, Coalescer
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import RemoteSettings
from penstock.seams import Embeddings, EngineHealth, TextKind

TRANSIENT = frozenset({"rate_limit", "overloaded", "timeout", "connection", "server_error", "broken_stream"})
"""Kinds of failures that may be over in a moment."""

URGENT_SECONDS, BULK_SECONDS = 20.0, 600.0
"""How long a text may take, all attempts together."""

BACKOFF = (0.25, 30.0)
LEAST_CHARACTERS = 64
"""A text of which the vendor refuses even so much is not too long."""

BLANK = "."
"""Sent in place of a text without a letter, which APIs refuse."""


class RemoteOptions(Struct, frozen=True, kw_only=True):
    """What is said about a remote embedder beside where it is.

    `dimensions` is asked for, and needs a model that can shorten its vectors. `batch_texts` and `batch_tokens`
    bound one request, `None` for what the vendor is known to take; `request_seconds` is for one attempt.
    """

    name: str = ""
    dimensions: int | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    batch_texts: int | None = None
    batch_tokens: int | None = None
    in_flight: int = 4
    request_seconds: float = 60.0


class WrongVectors(UpstreamFailed):
    """An answer of vectors that cannot be those of the texts."""


class RemoteEmbedder:
    """Texts to vectors of length 1 by a model elsewhere (`seams.Embedder`).

    Raises `ConfigError` where the environment variable of its key is not set. What fails for a moment is tried
    again, later each time or when the vendor says, until `URGENT_SECONDS` or `BULK_SECONDS` are over.
    """

    def __init__(self, settings: RemoteSettings, options: RemoteOptions | None = None) -> None:
        options = options or RemoteOptions()
        words = settings.profile.embedding
        self._settings = settings
        self._options = options
        self._name = options.name or settings.name
        vendor = replace(settings.vendor, dialect=words.dialect or settings.vendor.dialect, also=())
        self._provider = RemoteProvider(replace(settings, vendor=vendor))
        limits = BatchLimits(
            texts=options.batch_texts or words.texts,
            tokens=options.batch_tokens or words.tokens,
            in_flight=options.in_flight,
        )
        self._coalescer = Coalescer(limits, self._send)
        self._prefixes: dict[TextKind, str] = {"query": options.query_prefix, "passage": options.passage_prefix}
        self._width: int | None = None
        self._trouble = ""

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimensions(self) -> int:
        """Raises `Unavailable` as long as it never answered."""
        known = self._width or self._options.dimensions
        if known is None:
            raise Unavailable(
                f"{self.name} has not answered yet, so that the length of its vectors is not known"
                + (f" ({self._trouble})." if self._trouble else "."),
                hint="Try again when it does.",
            )
        return known

    @property
    def fingerprint(self) -> str:
        settings, options = self._settings, self._options
        words = settings.profile.embedding
        shaping = (
            settings.model,
            settings.own_address,
            options.dimensions,
            options.query_prefix,
            options.passage_prefix,
            sorted(words.query.items()),
            sorted(words.passage.items()),
        )
        return f"{settings.name}:{hashlib.sha256(repr(shaping).encode()).hexdigest()[:16]}"

    async def start(self) -> None:
        """Asks for one vector, to learn their length, unless the settings say it. Raises as `embed` does."""
        if self._options.dimensions is None:
            await self._send(Batch((BLANK,), "passage", True))

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        """See `Embedder.embed`. Raises `UpstreamFailed`, `DeadlineExceeded`, or `Unavailable` once closed."""
        if self._coalescer.closed:
            raise self._closed()
        if not texts:
            return Embeddings(np.empty((0, self.dimensions), np.float32), 0)
        prefix = self._prefixes[kind]
        rows, tokens = await self._coalescer.rows([prefix + speakable(text) for text in texts], kind, urgent)
        return Embeddings(np.stack(rows), tokens)

    def health(self) -> EngineHealth:
        return EngineHealth(
            state="ready",
            model=self.name,
            running=self._coalescer.texts,
            detail=self._trouble or f"{self._settings.name} at {self._settings.base_url}",
        )

    async def close(self) -> None:
        """Calls in flight fail with `Unavailable`."""
        await self._coalescer.close(self._closed())
        await self._provider.close()

    def _closed(self) -> Unavailable:
        return Unavailable(f"{self.name} is not running: it was closed.")

    async def _send(self, batch: Batch) -> Embeddings:
        """The vectors of a batch, however many attempts that takes."""
        until = time.monotonic() + (URGENT_SECONDS if batch.urgent else BULK_SECONDS)
        delay, longest = BACKOFF
        while True:
            try:
                return await self._attempt(batch, until)
            except PenstockError as error:
                self._trouble = error.message
                shorter = cut(batch, error)
                wait = error.retry_after or delay
                if shorter is None and (not transient(error) or time.monotonic() + wait >= until):
                    raise
            if shorter is not None:
                batch = shorter
                continue
            delay = min(longest, 2 * delay)
            await asyncio.sleep(wait)

    async def _attempt(self, batch: Batch, until: float) -> Embeddings:
        now = time.monotonic()
        exchange = Exchange(
            id=new_id("req"),
            trace_id=new_trace_id(),
            operation="embed",
            model=self._settings.model,
            inputs=batch.texts,
            deadline=min(until, now + self._options.request_seconds),
            options={"dimensions": self._options.dimensions, "kind": batch.kind},
        )
        vectors: list[bytes] = []
        tokens = 0
        async for chunk in self._provider.answer(exchange):
            vectors += chunk.embeddings
            tokens += chunk.usage.prompt_tokens if chunk.usage else 0
        matrix = self._checked(vectors, len(batch.texts))
        self._trouble = ""
        return Embeddings(matrix, tokens)

    def _checked(self, vectors: Sequence[bytes], count: int) -> NDArray[np.float32]:
        """The vectors, each of length 1. Raises `UpstreamFailed` that names what is wrong with them."""
        if len(vectors) != count:
            raise self._wrong(f"sent {len(vectors)} vectors for {count} texts")
        wanted = self._width or self._options.dimensions or len(vectors[0]) // 4
        for vector in vectors:
            if len(vector) != 4 * wanted or not vector:
                hint = "Correct dimensions, or leave it out." if self._width is None else ""
                raise self._wrong(f"sent a vector of {len(vector) // 4} dimensions instead of {wanted}", hint)
        matrix = np.frombuffer(b"".join(vectors), "<f4").reshape(count, wanted)
        if not np.isfinite(matrix).all():
            raise self._wrong("sent a vector with numbers that are not finite")
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        if not lengths.all():
            raise self._wrong("sent a vector that is all zeros")
        self._width = wanted
        return np.asarray(matrix / lengths, np.float32)

    def _wrong(self, what: str, hint: str = "") -> WrongVectors:
        return WrongVectors(f"{self.name} {what}.", hint=hint or "Nothing of it was kept.")


def transient(error: PenstockError) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, UpstreamFailed):
        return error.kind in TRANSIENT and not isinstance(error, WrongVectors)
    return isinstance(error, DeadlineExceeded)


def cut(batch: Batch, error: PenstockError) -> Batch | None:
    """Half of a text that is alone and too long for the model; `None` where that is not the trouble."""
    too_long = isinstance(error, UpstreamFailed) and error.kind == "context_length"
    if not too_long or len(batch.texts) != 1 or len(batch.texts[0]) <= LEAST_CHARACTERS:
        return None
    (text,) = batch.texts
    return Batch((text[: len(text) // 2],), batch.kind, batch.urgent)


def speakable(text: str) -> str:
    """A text that every API takes: half a surrogate pair has no UTF-8, and nothing at all is refused."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if text.strip() else BLANK
