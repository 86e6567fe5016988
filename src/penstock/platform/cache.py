"""The cache of a server: its store, and what its keys depend on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from penstock.config import AppFolder, Settings
from penstock.config.cache import CacheSettings
from penstock.gateway.cache.answers import AnswerCache, CacheRules
from penstock.gateway.cache.base import CacheStore
from penstock.gateway.cache.key import Keys
from penstock.gateway.cache.memcached import MemcachedWire
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.cache.redis import RedisWire
from penstock.gateway.cache.remote import RemoteStore
from penstock.gateway.cache.semantic import SemanticIndex, calibration
from penstock.gateway.cache.sqlite import SqliteStore
from penstock.ids import content_id
from penstock.seams import Embedder

FILE = "cache.db"
MB = 1_000_000
KB = 1000


def open_cache(folder: AppFolder, stack: AsyncExitStack, embedder: Embedder | None) -> AnswerCache | None:
    """`None` where the cache is off; `stack` closes it. Each configuration uses it `under` its own keys and rules.

    The `embedder` compares questions, where they are compared. Raises `ConfigError`.
    """
    settings = folder.settings.cache
    if not settings.enabled:
        return None
    store = open_store(folder, settings)
    semantic = None
    if settings.semantic is not None and embedder is not None:
        threshold = settings.semantic.threshold or calibration().threshold
        disk = store if isinstance(store, SqliteStore) else None
        semantic = SemanticIndex(embedder, threshold, settings.semantic.max_questions, disk)
    cache = AnswerCache(store, Keys(), CacheRules(), semantic=semantic)
    stack.push_async_callback(cache.close)
    return cache


def keys_of(settings: Settings, generation: Callable[[str], int | None], *, questions: bool) -> Keys:
    """The keys of a configuration: with other models, no answer of those before is found."""
    shape = content_id("models", settings.model_dump_json(include={"models"}))
    # What an app knows about one person must never be told to another.
    facts = bool(settings.features)
    by_user = settings.cache.scope == "user" or facts
    return Keys(shape, generation, by_user=by_user, by_key=facts, questions=questions)


def rules_of(settings: Settings) -> CacheRules:
    cache = settings.cache
    return CacheRules(models=cache.models, seconds=cache.ttl_seconds, max_entry_bytes=cache.max_entry_kb * KB)


def open_store(folder: AppFolder, settings: CacheSettings) -> CacheStore:
    max_bytes = int(settings.max_mb * MB)
    if settings.store == "memory":
        return MemoryStore(max_bytes)
    if settings.store == "sqlite":
        return SqliteStore(folder.data / FILE, max_bytes)
    assert settings.url is not None
    url = settings.url.reveal()
    return RemoteStore(RedisWire(url) if settings.store == "redis" else MemcachedWire(url))
