"""What every store of cached answers must do, and what each does in its own way."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.cache_servers import CacheServer, memcached_server, redis_server

from penstock.clock import ManualClock
from penstock.errors import ConfigError
from penstock.gateway.cache import memory, repository
from penstock.gateway.cache.base import CacheStore, namespace_of
from penstock.gateway.cache.memcached import MemcachedWire
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.cache.redis import RedisWire
from penstock.gateway.cache.remote import Patience, RemoteStore, Wire
from penstock.gateway.cache.repository import QuestionRow
from penstock.gateway.cache.sqlite import SqliteStore

MAX = 100_000
PATIENT = Patience(look_up=5.0, write=5.0)


def key_of(project: str, name: str) -> bytes:
    return namespace_of(project) + name.encode().rjust(24, b"\0")


A, B = key_of("one", "a"), key_of("one", "b")
OTHER = key_of("two", "a")


class StoreContract:
    @pytest_asyncio.fixture
    async def store(self, opened: CacheStore) -> AsyncIterator[CacheStore]:
        await opened.clear(namespace_of("one"))
        await opened.clear(namespace_of("two"))
        yield opened
        await opened.close()

    async def test_what_is_put_is_found(self, store: CacheStore) -> None:
        data = os.urandom(5000)
        store.put(A, data, 60)
        await store.flush()
        assert await store.get(A) == data
        assert await store.get(B) is None

    async def test_putting_again_replaces(self, store: CacheStore) -> None:
        store.put(A, b"old", 60)
        store.put(A, b"new", 60)
        await store.flush()
        assert await store.get(A) == b"new"

    async def test_what_is_deleted_is_gone(self, store: CacheStore) -> None:
        store.put(A, b"data", 60)
        await store.flush()
        store.delete(A)
        store.delete(B)
        await store.flush()
        assert await store.get(A) is None

    async def test_a_project_is_cleared_and_the_others_stay(self, store: CacheStore) -> None:
        for key in (A, B, OTHER):
            store.put(key, b"data", 60)
        await store.clear(namespace_of("one"))
        assert [await store.get(key) for key in (A, B, OTHER)] == [None, None, b"data"]
        store.put(A, b"later", 60)
        await store.flush()
        assert await store.get(A) == b"later"

    async def test_many_at_once(self, store: CacheStore) -> None:
        keys = [key_of("one", str(number)) for number in range(100)]
        for key in keys:
            store.put(key, key, 60)
        await store.flush()
        assert await asyncio.gather(*(store.get(key) for key in keys)) == keys

    async def test_a_closed_store_raises_nothing(self, store: CacheStore) -> None:
        store.put(A, b"data", 60)
        await store.close()
        store.put(B, b"data", 60)
        await store.get(B)
        store.stats()


class TestMemory(StoreContract):
    @pytest.fixture
    def opened(self) -> MemoryStore:
        return MemoryStore(MAX)


class TestSqlite(StoreContract):
    @pytest_asyncio.fixture
    async def opened(self, tmp_path: Path) -> SqliteStore:
        return SqliteStore(tmp_path / "cache.db", MAX)


class TestRedis(StoreContract):
    @pytest_asyncio.fixture
    async def opened(self, redis: CacheServer) -> RemoteStore:
        return RemoteStore(RedisWire(redis.url), PATIENT)


class TestMemcached(StoreContract):
    @pytest_asyncio.fixture
    async def opened(self, memcached: CacheServer) -> RemoteStore:
        return RemoteStore(MemcachedWire(memcached.url), PATIENT)


Steps = st.lists(
    st.tuples(st.sampled_from(["put", "get", "delete", "wait"]), st.integers(0, 7), st.integers(0, 6000)),
    max_size=40,
)


@given(Steps)
async def test_memory_stays_within_its_bound(steps: list[tuple[str, int, int]]) -> None:
    clock = ManualClock()
    store = MemoryStore(12_000, clock)
    await check_bound(store, clock, steps, memory.OVERHEAD)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(Steps)
@example([("put", number, size) for number, size in enumerate([79, 79, 4765, 6000, 78])])  # all at one time
async def test_sqlite_stays_within_its_bound(tmp_path: Path, steps: list[tuple[str, int, int]]) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / f"{os.urandom(8).hex()}.db", 12_000, clock)
    try:
        await check_bound(store, clock, steps, repository.OVERHEAD)
    finally:
        await store.close()


async def check_bound(
    store: CacheStore, clock: ManualClock, steps: list[tuple[str, int, int]], overhead: int
) -> None:
    """The bound holds after every step, what is found is what was put last, and the newest is always there."""
    put: dict[bytes, bytes] = {}
    for action, number, size in steps:
        key = key_of("one", str(number))
        if action == "put":
            put[key] = bytes([number]) * size
            store.put(key, put[key], 60)
            await store.flush()
            assert await store.get(key) == put[key]
        elif action == "delete":
            put.pop(key, None)
            store.delete(key)
            await store.flush()
        elif action == "wait":
            clock.advance(size / 100)
        elif (found := await store.get(key)) is not None:
            assert found == put[key]
        stats = store.stats()
        assert stats.bytes is not None and stats.bytes <= 12_000
        assert stats.entries is not None and stats.bytes >= stats.entries * overhead


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_was_not_used_makes_room(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()
    store: CacheStore = MemoryStore(10_000, clock)
    if kind == "sqlite":
        store = SqliteStore(tmp_path / "cache.db", 10_000, clock)
    for name in ("a", "b", "c"):
        clock.advance(1)
        store.put(key_of("one", name), bytes(3000), 60)
        await store.flush()
    clock.advance(1)
    assert await store.get(key_of("one", "a")) is not None
    clock.advance(1)
    store.put(key_of("one", "d"), bytes(3000), 60)
    await store.flush()
    found = [name for name in "abcd" if await store.get(key_of("one", name)) is not None]
    assert found == ["a", "c", "d"]
    assert store.stats().evicted == 1
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_is_too_old_is_gone_and_what_is_too_large_never_there(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()
    store: CacheStore = MemoryStore(10_000, clock)
    if kind == "sqlite":
        store = SqliteStore(tmp_path / "cache.db", 10_000, clock)
    store.put(A, b"data", 60)
    store.put(B, bytes(20_000), 60)
    await store.flush()
    assert await store.get(B) is None
    clock.advance(59)
    assert await store.get(A) == b"data"
    clock.advance(1)
    assert await store.get(A) is None
    await store.close()


async def test_sqlite_remembers_over_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cache.db", MAX)
    store.put(A, b"data", 60)
    store.put_question(QuestionRow(A, b"context", "How high is it?"))
    store.put_question(QuestionRow(B, b"context", "Whose entry is not there"))
    await store.close()
    again = SqliteStore(tmp_path / "cache.db", MAX)
    assert await again.get(A) == b"data"
    assert again.questions(10) == [QuestionRow(A, b"context", "How high is it?")]
    again.delete(A)
    await again.flush()
    assert again.questions(10) == []
    assert again.stats().entries == 0
    await again.close()


async def test_a_file_that_is_no_database_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"not a database" * 1000)
    store = SqliteStore(tmp_path / "cache.db", MAX)
    store.put(A, b"data", 60)
    await store.flush()
    assert await store.get(A) == b"data"
    await store.close()


async def test_hits_do_not_wait_for_another_process_that_writes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cache.db", MAX)
    store.put(A, b"data", 60)
    await store.flush()
    with sqlite3.connect(tmp_path / "cache.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(B, b"waits", 60)
        assert await store.get(A) == b"data"
        assert await store.get(B) == b"waits"
        other.execute("ROLLBACK")
    await store.close()


class Faulty:
    """A server whose answers are decided by the test."""

    name = "faulty"

    def __init__(self) -> None:
        self.asked = 0
        self.fails = True
        self.hangs = False

    async def get(self, key: bytes) -> bytes | None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise ConnectionRefusedError
        return b"data"

    async def put(self, key: bytes, data: bytes, seconds: float) -> None:
        await self.get(key)

    async def delete(self, key: bytes) -> None:
        await self.get(key)

    async def clear(self, namespace: bytes) -> None:
        await self.get(namespace)

    async def close(self) -> None:
        pass


async def test_a_server_that_fails_is_left_alone_and_tried_again() -> None:
    clock, wire = ManualClock(), Faulty()
    store = RemoteStore(wire, Patience(failures=3, pause=5.0), clock)
    assert [await store.get(A) for _ in range(10)] == [None] * 10
    assert (wire.asked, store.stats().up, store.stats().failures) == (3, False, 3)
    clock.advance(5)
    assert [await store.get(A) for _ in range(10)] == [None] * 10
    assert wire.asked == 4
    wire.fails = False
    clock.advance(5)
    assert await store.get(A) == b"data"
    assert await store.get(A) == b"data"
    assert (wire.asked, store.stats().up) == (6, True)
    await store.close()


async def test_a_server_that_hangs_costs_its_deadline_and_no_more() -> None:
    wire = Faulty()
    wire.hangs = True
    store = RemoteStore(wire, Patience(look_up=0.001, failures=2), ManualClock())
    assert [await store.get(A) for _ in range(50)] == [None] * 50
    assert wire.asked == 2
    await store.close()


async def test_what_waits_for_a_server_that_is_down_is_dropped() -> None:
    wire = Faulty()
    store = RemoteStore(wire, Patience(failures=3), ManualClock())
    for number in range(100):
        store.put(key_of("one", str(number)), b"data", 60)
    await store.flush()
    assert (wire.asked, store.stats().failures) == (3, 100)
    await store.close()


async def test_what_waits_to_be_written_is_bounded() -> None:
    wire = Faulty()
    wire.hangs = True
    store = RemoteStore(wire, Patience(max_waiting=10_000))
    for number in range(100):
        store.put(key_of("one", str(number)), bytes(1000), 60)
    assert store.stats().failures == 100 - 9
    await store.close()


@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_a_server_that_goes_down_midway_is_a_miss(kind: str, short_folder: Path) -> None:
    start = redis_server if kind == "redis" else memcached_server
    with start(short_folder) as server:
        wire: Wire = RedisWire(server.url) if kind == "redis" else MemcachedWire(server.url)
        store = RemoteStore(wire, Patience(look_up=0.5, write=0.5))
        store.put(A, b"data", 60)
        await store.flush()
        assert await store.get(A) == b"data"
        server.stop()
        store.put(B, b"data", 60)
        await store.flush()
        assert [await store.get(A), await store.get(B)] == [None, None]
        assert store.stats().failures > 0
        await store.close()


@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_a_cancelled_look_up_does_not_leave_its_answer_to_another(
    kind: str, redis: CacheServer, memcached: CacheServer
) -> None:
    """The next one on the same connection would otherwise read it: of another key, of another tenant."""
    store = RemoteStore(RedisWire(redis.url) if kind == "redis" else MemcachedWire(memcached.url), PATIENT)
    keys = [key_of("one", str(number)) for number in range(40)]
    for key in keys:
        store.put(key, key * 100, 60)
    await store.flush()
    for round in range(5):
        tasks = [asyncio.ensure_future(store.get(key)) for key in keys]
        for _ in range(round):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(each == key * 100 for each, key in zip(found, keys, strict=True) if isinstance(each, bytes))
        assert sum(isinstance(each, bytes) for each in found) >= 20
    await store.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RedisWire("http://host"), "The address of the cache is not one of Redis."),
        (lambda: MemcachedWire("redis://host"), "The address of the cache is not one of Memcached."),
    ],
)
async def test_an_address_that_is_none_says_what_one_looks_like(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "It looks like" in caught.value.hint
