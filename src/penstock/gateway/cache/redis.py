"""Answers in Redis, or in what speaks its protocol. The server's own `maxmemory` bounds them."""

from __future__ import annotations

from urllib.parse import urlsplit

from penstock.errors import ConfigError
from penstock.gateway.cache.base import NAMESPACE

PREFIX = b"penstock:cache:"
POOL = 32
BATCH = 1000


class RedisWire:
    """The commands (`remote.Wire`). `url` is `redis://`, `rediss://` (TLS) or `unix://`, with a password if any.

    Raises `ConfigError` where the client is not installed or the address is none.
    """

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise ConfigError(
                "store = 'redis' needs the Redis client.", hint="Run: pip install 'penstock[redis]'"
            ) from None
        try:
            pool = BlockingConnectionPool.from_url(
                url, max_connections=POOL, timeout=1, retry=Retry(NoBackoff(), 0)
            )
        except ValueError:
            raise ConfigError(
                "The address of the cache is not one of Redis.", hint="It looks like redis://:password@host:6379/0."
            ) from None
        self.name = urlsplit(url).hostname or "redis"
        self._redis = Redis(connection_pool=pool)

    async def get(self, key: bytes) -> bytes | None:
        found = await self._redis.get(name_of(key))
        return found if isinstance(found, bytes) else None

    async def put(self, key: bytes, data: bytes, seconds: float) -> None:
        await self._redis.set(name_of(key), data, px=max(1, int(seconds * 1000)))

    async def delete(self, key: bytes) -> None:
        await self._redis.unlink(name_of(key))

    async def clear(self, namespace: bytes) -> None:
        names = []
        async for name in self._redis.scan_iter(PREFIX + namespace.hex().encode() + b"*", count=BATCH):
            names.append(name)
            if len(names) == BATCH:
                await self._redis.unlink(*names)
                names.clear()
        if names:
            await self._redis.unlink(*names)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


def name_of(key: bytes) -> bytes:
    """The namespace in hex, so that a pattern can name it."""
    return PREFIX + key[:NAMESPACE].hex().encode() + b":" + key[NAMESPACE:]
