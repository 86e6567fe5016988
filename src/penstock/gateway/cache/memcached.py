"""Answers in Memcached, whose own `-m` bounds them.

It cannot list its keys, so a project is cleared by an epoch: each entry carries the epoch of its project as it was
written, both are fetched in one round trip, and one of another epoch is a miss. A restarted server has forgotten
the epochs and the entries both.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.errors import ConfigError
from penstock.gateway.cache.base import NAMESPACE

if TYPE_CHECKING:
    from emcache import Client

POOL = 16
EPOCH = 8
NEVER_CLEARED = bytes(EPOCH)
LONGEST = 30 * 24 * 3600
"""Seconds; Memcached reads more than 30 days as a date."""


class MemcachedWire:
    """The commands (`remote.Wire`). `url` is `memcached://host:port`.

    Raises `ConfigError` where the client is not installed or the address is none.
    """

    def __init__(self, url: str) -> None:
        try:
            import emcache
        except ImportError:
            raise ConfigError(
                "store = 'memcached' needs its client.", hint="Run: pip install 'penstock[memcached]'"
            ) from None
        parts = urlsplit(url)
        if parts.scheme != "memcached" or not parts.hostname:
            raise ConfigError(
                "The address of the cache is not one of Memcached.", hint="It looks like memcached://host:11211."
            )
        self.name = parts.hostname
        self._address = emcache.MemcachedHostAddress(parts.hostname, parts.port or 11211)
        self._create = emcache.create_client
        self._client: Client | None = None

    async def _connected(self) -> Client:
        """The client; a command that is cancelled costs its connection, so that no answer reaches another."""
        if self._client is None:
            self._client = await self._create([self._address], timeout=None, max_connections=POOL)
        return self._client

    async def get(self, key: bytes) -> bytes | None:
        client = await self._connected()
        found = await client.get_many([name_of(key), epoch_name(key)])
        stored, epoch = found.get(name_of(key)), found.get(epoch_name(key))
        if stored is None or stored.value[:EPOCH] != (epoch.value if epoch else NEVER_CLEARED):
            return None
        return stored.value[EPOCH:]

    async def put(self, key: bytes, data: bytes, seconds: float) -> None:
        client = await self._connected()
        epoch = await client.get(epoch_name(key))
        expires = min(LONGEST, max(1, int(seconds)))
        value = (epoch.value if epoch else NEVER_CLEARED) + data
        await client.set(name_of(key), value, exptime=expires)

    async def delete(self, key: bytes) -> None:
        await (await self._connected()).delete(name_of(key), noreply=True)

    async def clear(self, namespace: bytes) -> None:
        await (await self._connected()).set(epoch_name(namespace), os.urandom(EPOCH))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def name_of(key: bytes) -> bytes:
    return b"penstock:" + base64.urlsafe_b64encode(key)


def epoch_name(key: bytes) -> bytes:
    return b"penstock:epoch:" + key[:NAMESPACE].hex().encode()
