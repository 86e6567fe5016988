"""Where cached answers are kept: bytes under a key, for a time, within a bound."""

from __future__ import annotations

import hashlib
from typing import Protocol

from msgspec import Struct

NAMESPACE = 8
"""Bytes at the start of every key that are its project's, so that a project's answers can be cleared."""


def namespace_of(project_id: str) -> bytes:
    """The first bytes of every key of a project."""
    return hashlib.blake2b(project_id.encode(), digest_size=NAMESPACE, person=b"namespace").digest()


class StoreStats(Struct, frozen=True, kw_only=True):
    """What a store holds; `None` where only its server knows. `failures` counts what it could not do."""

    entries: int | None = None
    bytes: int | None = None
    max_bytes: int | None = None
    evicted: int = 0
    failures: int = 0
    up: bool = True


class CacheStore(Protocol):
    """Bytes under keys. A store that fails has nothing: no method raises, and none waits for long.

    Keys are of one length and begin with their project's `NAMESPACE` bytes. What is put is there for those who
    ask the same store at once; `flush` returns when everybody else would find it, too.
    """

    async def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, data: bytes, seconds: float) -> None:
        """Keeps `data` for at most `seconds`. Does not wait."""
        ...

    def delete(self, key: bytes) -> None: ...

    async def clear(self, namespace: bytes) -> None:
        """Deletes all entries of one project."""
        ...

    async def flush(self) -> None: ...

    def stats(self) -> StoreStats: ...

    async def close(self) -> None: ...
