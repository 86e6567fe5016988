"""Responses on disk: kept for their project only, found along a conversation, deleted with time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from penstock.errors import NotFound
from penstock.gateway.responses.repository import StoredResponse
from penstock.gateway.responses.store import MAX_TURNS, ResponseStore


def response(
    id: str, previous: str | None = None, *, created_us: int = 0, project: str = "local"
) -> StoredResponse:
    return StoredResponse(
        project_id=project,
        id=id,
        previous_id=previous,
        provider="",
        created_us=created_us,
        input=b"[]",
        body=f'{{"id":"{id}"}}'.encode(),
    )


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[ResponseStore]:
    store = ResponseStore(tmp_path)
    yield store
    store.close()


async def test_what_was_put_is_on_disk(store: ResponseStore, tmp_path: Path) -> None:
    await store.put(response("a"))
    other = ResponseStore(tmp_path)
    assert await other.get("local", "a") == response("a")
    other.close()


async def test_putting_again_replaces(store: ResponseStore) -> None:
    await store.put(response("a"))
    await store.put(replace(response("a"), body=b"{}"))
    assert (await store.get("local", "a")).body == b"{}"


async def test_nothing_is_opened_before_it_is_needed(store: ResponseStore, tmp_path: Path) -> None:
    assert await store.prune(1) == 0
    assert not (tmp_path / "responses.db").exists()


async def test_many_may_open_it_at_once(store: ResponseStore) -> None:
    await asyncio.gather(*(store.put(response(f"r{number}")) for number in range(20)))
    assert (await store.get("local", "r19")).id == "r19"


async def test_a_chain_is_the_oldest_first(store: ResponseStore) -> None:
    for id, previous in (("a", None), ("b", "a"), ("side", "a"), ("c", "b")):
        await store.put(response(id, previous))
    await store.put(response("b", None, project="other"))
    assert [each.id for each in await store.chain("local", "c")] == ["a", "b", "c"]
    assert [each.id for each in await store.chain("other", "b")] == ["b"]


async def test_a_chain_with_a_gap_says_what_is_missing(store: ResponseStore) -> None:
    for id, previous in (("a", None), ("b", "a"), ("c", "b")):
        await store.put(response(id, previous))
    await store.delete("local", "a")
    with pytest.raises(NotFound, match="'a'"):
        await store.chain("local", "c")
    with pytest.raises(NotFound, match="'nothing'"):
        await store.chain("local", "nothing")


async def test_a_chain_is_bounded(store: ResponseStore) -> None:
    await store.put(response("loop", "loop"))
    with pytest.raises(NotFound):
        await store.chain("local", "loop")
    for number in range(MAX_TURNS):
        await store.put(response(str(number), str(number - 1) if number else None))
    assert len(await store.chain("local", str(MAX_TURNS - 1))) == MAX_TURNS


async def test_each_project_has_its_own(store: ResponseStore) -> None:
    await store.put(response("a", project="other"))
    with pytest.raises(NotFound):
        await store.get("local", "a")
    with pytest.raises(NotFound):
        await store.delete("local", "a")
    with pytest.raises(NotFound):
        await store.chain("local", "a")
    assert (await store.get("other", "a")).project_id == "other"


async def test_old_ones_are_deleted_in_batches(store: ResponseStore) -> None:
    for number in range(1200):
        await store.put(response(f"r{number}", created_us=number))
    assert await store.prune(1100) == 1100
    assert await store.prune(1100) == 0
    assert (await store.get("local", "r1100")).created_us == 1100


async def test_the_same_on_postgresql(postgres_url: str) -> None:
    store = ResponseStore(postgres_url)
    for id, previous in (("a", None), ("b", "a")):
        await store.put(response(id, previous))
    assert [each.id for each in await store.chain("local", "b")] == ["a", "b"]
    assert await store.prune(1) == 2
    store.close()
