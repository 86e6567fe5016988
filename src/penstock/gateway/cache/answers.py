"""The cache of answers: which requests it takes, what it finds for them, what it keeps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.exchange import Chunk, Exchange, Operation, Purpose
from penstock.gateway.cache.base import CacheStore, namespace_of
from penstock.gateway.cache.control import Directives
from penstock.gateway.cache.entry import VERSION, Entry, free, is_complete, neutral, packed, unpacked
from penstock.gateway.cache.key import CacheRequest, Keys
from penstock.gateway.cache.semantic import Likeness, SemanticIndex
from penstock.gateway.cache.single_flight import SingleFlight
from penstock.gateway.registry import Target

ALWAYS_THE_SAME: frozenset[Operation] = frozenset({"embed", "rerank", "moderate"})
TAKEN: frozenset[Operation] = ALWAYS_THE_SAME | {"chat", "complete"}
PURPOSES: frozenset[Purpose] = frozenset({"live", "batch"})
"""Experiments and replays ask to see what a model says now."""

DIALECTS = frozenset({"", "openai", "anthropic"})
"""Answers in these do not refer to anything that their provider keeps."""

How = Literal["hit", "semantic"]
RESULTS = ("hit", "semantic", "shared", "miss")


class CacheRules(Struct, frozen=True, kw_only=True):
    """What is cached. `models` are patterns of names; `seconds` is how long an answer may be given again."""

    models: tuple[str, ...] = ("*",)
    seconds: float = 86_400.0
    max_entry_bytes: int = 1 << 20


class Found(Struct, frozen=True):
    """A stored answer that fits a request. `age` in seconds, `likeness` where the question was another one."""

    chunks: tuple[Chunk, ...]
    age: int
    how: How
    likeness: Likeness | None = None


class AnswerCache:
    """One for a server.

    `flights` are the calls that identical requests share while they run. `results` counts the requests that it took
    by what it did for them.
    """

    def __init__(
        self,
        store: CacheStore,
        keys: Keys,
        rules: CacheRules,
        *,
        semantic: SemanticIndex | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.store = store
        self.semantic = semantic
        self.flights = SingleFlight(rules.max_entry_bytes)
        self._keys = keys
        self._rules = rules
        self.results = dict.fromkeys(RESULTS, 0)
        self._clock = clock
        self._chosen: dict[str, bool] = {}

    def under(self, keys: Keys, rules: CacheRules) -> AnswerCache:
        """The same cache under another configuration; calls in flight are shared with this one."""
        other = copy.copy(self)
        other._keys = keys
        other._rules = rules
        other._chosen = {}
        self.flights.max_bytes = rules.max_entry_bytes
        return other

    def request(self, exchange: Exchange, target: Target, directives: Directives | None) -> CacheRequest | None:
        """What a request is to the cache; `None` for one that it does not take."""
        wanted = directives is not None and directives.wanted
        if directives is not None and not directives.store:
            return None
        if exchange.operation not in TAKEN or exchange.purpose not in PURPOSES or not self._chooses(target.name):
            return None
        if not (wanted or is_deterministic(exchange)) or exchange.dialect not in DIALECTS:
            return None
        return self._keys.of(exchange, target)

    def _chooses(self, name: str) -> bool:
        chosen = self._chosen.get(name)
        if chosen is None:
            chosen = any(fnmatchcase(name, pattern) for pattern in self._rules.models)
            self._chosen[name] = chosen
        return chosen

    async def find(self, request: CacheRequest, exchange: Exchange, directives: Directives | None) -> Found | None:
        """The stored answer, of the same request or of one whose question means the same."""
        max_age = None if directives is None else directives.max_age
        found = await self._stored(request.key, request, max_age, "hit")
        if found is not None or self.semantic is None or request.question is None:
            return found
        likeness = await self.semantic.nearest(request.question, exchange)
        if likeness is None:
            return None
        found = await self._stored(likeness.key, request, max_age, "semantic")
        if found is None:
            return None
        return Found(found.chunks, found.age, "semantic", likeness)

    async def _stored(self, key: bytes, request: CacheRequest, max_age: float | None, how: How) -> Found | None:
        stored = await self.store.get(key)
        if stored is None:
            return None
        entry, now = unpacked(key, stored), self._clock.now_us()
        if entry is None or entry.until_us <= now:
            self.store.delete(key)
            return None
        age = max(0, now - entry.stored_us) / 1e6
        chunks = fitting(entry, request)
        if chunks is None or (max_age is not None and age > max_age):
            return None
        return Found(chunks, int(age), how)

    def keep(self, request: CacheRequest, exchange: Exchange, chunks: Sequence[Chunk]) -> None:
        """Stores an answer that is complete and not too large."""
        if not is_complete(exchange.operation, chunks):
            return
        now, seconds = self._clock.now_us(), self._rules.seconds
        entry = Entry(
            version=VERSION,
            form=request.form,
            stored_us=now,
            until_us=now + int(seconds * 1e6),
            chunks=tuple(map(free, chunks)),
        )
        data = packed(request.key, entry)
        if len(data) > self._rules.max_entry_bytes:
            return
        self.store.put(request.key, data, seconds)
        if self.semantic is not None and request.question is not None:
            self.semantic.remember(request.key, request.question)

    async def clear(self, project_id: str) -> None:
        """Forgets all answers of a project."""
        namespace = namespace_of(project_id)
        if self.semantic is not None:
            self.semantic.clear(namespace)
        await self.store.clear(namespace)

    async def close(self) -> None:
        await self.store.flush()
        await self.store.close()


def is_deterministic(exchange: Exchange) -> bool:
    """Whether the same request may be expected to get the same answer."""
    parameters = exchange.parameters
    return exchange.operation in ALWAYS_THE_SAME or parameters.temperature == 0 or parameters.seed is not None


def fitting(entry: Entry, request: CacheRequest) -> tuple[Chunk, ...] | None:
    """The chunks of an entry for a request: as they are where the form is the same or they hold no raw bytes."""
    if entry.form == request.form or all(chunk.raw is None for chunk in entry.chunks):
        return entry.chunks
    return neutral(entry.chunks) if request.translatable else None
