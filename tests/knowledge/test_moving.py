"""Vectors are copied elsewhere with a proof, and without one nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.hash_embedder import HashEmbedder

from penstock.errors import ConfigError, StorageError
from penstock.knowledge.base import Backends, KnowledgeBase, Sources
from penstock.knowledge.moving import move
from penstock.knowledge.stores.external.base import ExternalStore
from penstock.knowledge.stores.external.mirror import Elsewhere
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import EVERYTHING, Query

pytest.importorskip("qdrant_client", reason="Qdrant for tests: pip install qdrant-client")
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture
async def there() -> Elsewhere:
    from qdrant_client import AsyncQdrantClient

    from penstock.knowledge.stores.external.qdrant import QdrantCollection

    points = QdrantCollection(AsyncQdrantClient(":memory:"), "docs", "memory")
    await points.open(HashEmbedder().dimensions)
    return Elsewhere(ExternalStore(points), "memory/docs")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(60):
        words = f"gate {number} pipe {number * 7} water {number % 5}"
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThe {words} and nothing else.\n")
    return folder


@pytest.fixture
async def path(tmp_path: Path, docs: Path) -> Path:
    """A knowledge base of two generations, closed."""
    file = tmp_path / "knowledge.db"
    base = KnowledgeBase.open(file, "docs", HashEmbedder())
    await base.ingest(Sources(docs))
    (docs / "7.md").unlink()
    await base.ingest(Sources(docs))
    base.close()
    return file


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


async def test_what_was_copied_is_proven_and_used(
    store: SqliteStore, path: Path, there: Elsewhere, docs: Path
) -> None:
    told: list[int] = []
    proof = await move(store, HashEmbedder(), there, told.append)
    assert (proof.generation, proof.passages, proof.sampled) == (2, 59, 29)
    assert (proof.recall, proof.missing, proof.extra, proof.changed) == (1.0, 0, 0, 0)
    assert told[-1] == 60  # the earlier generation's, too
    base = KnowledgeBase.open(path, "docs", HashEmbedder(), backends=Backends(vectors=there))
    assert base.mirror is not None
    assert await base.mirror.holds(2)
    found = await base.search(Query(text="gate 7", reader=EVERYTHING, generation=1, mode="dense", limit=60))
    assert "7.md" in {hit.document for hit in found.hits}
    (docs / "new.md").write_text("# New\n\nTurbines.\n")
    await base.ingest(Sources(docs))
    assert len(await there.store.rows(3)) == 60
    base.close()


async def test_what_lay_there_before_is_replaced(store: SqliteStore, there: Elsewhere) -> None:
    await move(store, HashEmbedder(), there)
    proof = await move(store, HashEmbedder(), there)
    assert (proof.missing, proof.extra) == (0, 0)


async def test_a_copy_that_lost_something_is_no_proof(store: SqliteStore, there: Elsewhere) -> None:
    class Losing(ExternalStore):
        async def upsert(self, points):  # type: ignore[no-untyped-def]
            await super().upsert([point for point in points if point.row not in (2, 3, 5, 8)])

    lossy = Elsewhere(Losing(there.store._backend), there.place)
    with pytest.raises(StorageError, match="4 passages are missing"):
        await move(store, HashEmbedder(), lossy)
    base = KnowledgeBase.open(store.path, "docs", HashEmbedder(), backends=Backends(vectors=there))
    assert base.mirror is not None
    assert not await base.mirror.holds(2)
    base.close()


async def test_a_copy_for_other_readers_is_no_proof(store: SqliteStore, there: Elsewhere) -> None:
    """Which no search of everything would notice."""

    class Opening(ExternalStore):
        async def upsert(self, points):  # type: ignore[no-untyped-def]
            await super().upsert([replace(point, readers=("group:hr",)) for point in points])

    with pytest.raises(StorageError, match="60 not as they are here"):
        await move(store, HashEmbedder(), Elsewhere(Opening(there.store._backend), there.place))


async def test_nothing_to_move(tmp_path: Path, there: Elsewhere) -> None:
    empty = SqliteStore(tmp_path / "empty.db")
    with pytest.raises(ConfigError, match="Nothing was taken in yet"):
        await move(empty, HashEmbedder(), there)
    empty.close()


async def test_vectors_of_another_embedder_are_not_moved(store: SqliteStore, there: Elsewhere) -> None:
    with pytest.raises(ConfigError, match="another embedder"):
        await move(store, HashEmbedder("other"), there)
