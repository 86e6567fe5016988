"""Vectors elsewhere are kept in step with the knowledge's file, and answer as those here do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from support.hash_embedder import HashEmbedder

from penstock.config.elsewhere import StoreSettings
from penstock.config.knowledge import KnowledgeSettings
from penstock.errors import StorageError, Unavailable
from penstock.knowledge.base import Backends, KnowledgeBase, Sources
from penstock.knowledge.filters import parse_filter
from penstock.knowledge.stores.external.base import Backend, ExternalStore, StoredPoint
from penstock.knowledge.stores.external.deferred import DeferredBackend
from penstock.knowledge.stores.external.mirror import Elsewhere
from penstock.knowledge.values import EVERYTHING, Hit, Query, Reader
from penstock.platform.backends import backends_of

pytest.importorskip("qdrant_client", reason="Qdrant for tests: pip install qdrant-client")
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture
async def there() -> ExternalStore:
    from qdrant_client import AsyncQdrantClient

    from penstock.knowledge.stores.external.qdrant import QdrantCollection

    points = QdrantCollection(AsyncQdrantClient(":memory:"), "docs", "memory")
    await points.open(HashEmbedder().dimensions)
    return ExternalStore(points)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(20):
        team = "hr" if number % 4 == 0 else "it"
        text = (
            f"---\nteam: {team}\n---\n# Page {number}\n\nThe gate number {number} opens at {number + 1} o'clock.\n"
        )
        (folder / f"{number}.md").write_text(text)
    return folder


@pytest.fixture
def base(tmp_path: Path, there: ExternalStore) -> Iterator[KnowledgeBase]:
    backends = Backends(vectors=Elsewhere(there, "memory/docs"))
    opened = KnowledgeBase.open(tmp_path / "mirrored.db", "docs", HashEmbedder(), backends=backends)
    yield opened
    opened.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[KnowledgeBase]:
    opened = KnowledgeBase.open(tmp_path / "plain" / "plain.db", "docs", HashEmbedder())
    yield opened
    opened.close()


def told(hits: tuple[Hit, ...]) -> list[tuple[str, object]]:
    return [(hit.document, pytest.approx(hit.score, abs=1e-3)) for hit in hits]


async def test_answers_as_the_one_here(base: KnowledgeBase, plain: KnowledgeBase, docs: Path) -> None:
    for each in (base, plain):
        await each.ingest(Sources(docs))
    questions = ("When does gate 7 open?", "gate number 12", "o'clock")
    for question in questions:
        for filter in (None, parse_filter({"team": "hr"})):
            query = Query(text=question, reader=EVERYTHING, filter=filter, limit=4)
            found = (await base.search(query)).hits
            assert [(hit.document, hit.score) for hit in found] == told((await plain.search(query)).hits)


async def test_what_goes_here_goes_there(base: KnowledgeBase, docs: Path, there: ExternalStore) -> None:
    await base.ingest(Sources(docs))
    (docs / "7.md").unlink()
    (docs / "8.md").write_text("# Page 8\n\nThe gate is closed for good.\n")
    summary = await base.ingest(Sources(docs))
    hits = (await base.search(Query(text="gate number 7", reader=EVERYTHING, limit=20, mode="dense"))).hits
    assert "7.md" not in {hit.document for hit in hits}
    assert len(await there.rows(summary.generation)) == base.counts(EVERYTHING).chunks == 19
    assert len(await there.rows(summary.generation - 1)) == 20


async def test_readers_are_kept_apart_there(base: KnowledgeBase, there: ExternalStore, tmp_path: Path) -> None:
    from penstock.knowledge.sources.base import SourceRules
    from penstock.knowledge.sources.folder import FolderSource

    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "pay.md").write_text("# Pay\n\nThe pay of everybody.\n")
    await base.ingest([FolderSource(Sources(secret), SourceRules(readers=("group:hr",)))])
    query = Query(text="pay", reader=Reader(("group:it",)), mode="dense")
    assert not (await base.search(query)).hits
    allowed = Query(text="pay", reader=Reader(("group:hr",)), mode="dense")
    assert len((await base.search(allowed)).hits) == 1


async def test_a_store_that_is_away_leaves_the_generation_unpublished(
    base: KnowledgeBase, docs: Path, there: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await base.ingest(Sources(docs))
    before = base.generation()
    (docs / "new.md").write_text("# New\n\nSomething new about turbines.\n")

    async def away(points: object) -> None:
        raise Unavailable("Qdrant at memory cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(there._backend, "write", away)
        with pytest.raises(Unavailable, match="cannot be reached"):
            await base.ingest(Sources(docs))
    assert base.generation() == before
    summary = await base.ingest(Sources(docs))
    assert summary.generation == before + 1
    found = await base.search(Query(text="turbines", reader=EVERYTHING, mode="dense", limit=1))
    assert found.hits[0].document == "new.md"


async def test_a_store_that_is_away_is_searched_here_and_asked_again_later(
    base: KnowledgeBase, docs: Path, there: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await base.ingest(Sources(docs))
    query = Query(text="gate number 7", reader=EVERYTHING, mode="dense", limit=3)
    expected = (await base.search(query)).hits
    asked = []

    async def away(*wanted: object) -> object:
        asked.append(wanted)
        raise Unavailable("Qdrant at memory cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(there._backend, "query", away)
        for _ in range(3):
            found = (await base.search(query)).hits
            assert [(hit.document, hit.score) for hit in found] == told(expected)
    assert len(asked) == 1, "it is not asked again for every search"


async def test_a_server_starts_while_its_store_is_away_and_runs_say_why_they_fail(
    tmp_path: Path, docs: Path, there: ExternalStore
) -> None:
    settings = KnowledgeSettings(sources=("**/*",), store=StoreSettings(url="qdrant://127.0.0.1:1"))
    backends = await backends_of("docs", settings, HashEmbedder())
    opened = KnowledgeBase.open(tmp_path / "away.db", "docs", HashEmbedder(), backends=backends)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        await opened.ingest(Sources(docs))
    assert opened.generation() == 0
    assert not (await opened.search(Query(text="gate", reader=EVERYTHING))).hits
    assert [run.state for run in await opened.runs.latest()] == ["failed"]
    opened.close()


async def test_a_store_that_is_back_is_opened_when_it_is_asked(there: ExternalStore) -> None:
    tries = []

    async def opening() -> Backend:
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("Qdrant at memory cannot be reached.")
        return there._backend

    store = ExternalStore(DeferredBackend(opening))
    with pytest.raises(Unavailable):
        await store.rows(1)
    assert (await store.rows(1)).tolist() == (await store.rows(2)).tolist() == []
    assert len(tries) == 2


async def test_what_an_unpublished_run_left_there_is_never_found(
    base: KnowledgeBase, docs: Path, there: ExternalStore
) -> None:
    """A run wrote there and was killed before it published; then the document changed."""
    await base.ingest(Sources(docs))
    assert base.mirror is not None
    new = docs / "new.md"
    new.write_text("# New\n\nA first draft about turbines.\n")

    class Killed(Exception):
        pass

    publish = base._store.publish

    async def killed(*args: object) -> int:
        raise Killed

    base._store.publish = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        await base.ingest(Sources(docs))
    base._store.publish = publish  # type: ignore[method-assign]
    new.write_text(
        "# New\n\nOne thing.\n\n# Other\n\nAnother about penstocks and much else that is not in the draft.\n"
    )
    summary = await base.ingest(Sources(docs))
    assert len(await there.rows(summary.generation)) == base.counts(EVERYTHING).chunks


async def test_generations_that_are_not_kept_are_deleted_there(
    base: KnowledgeBase, docs: Path, there: ExternalStore
) -> None:
    await base.ingest(Sources(docs))
    for number in range(8):
        (docs / "0.md").write_text(f"# Page\n\nVersion {number} of the first page.\n")
        await base.ingest(Sources(docs))
    everything = await there._backend.list_rows(_all())
    assert len(everything) == 20 + base._options.keep_generations - 1


def _all():  # type: ignore[no-untyped-def]
    from penstock.knowledge.stores.external.clauses import ADDED, Range

    return Range(ADDED, "gte", 0)


async def test_rolling_back_searches_the_earlier_generation_there(base: KnowledgeBase, docs: Path) -> None:
    first = await base.ingest(Sources(docs))
    (docs / "7.md").unlink()
    await base.ingest(Sources(docs))
    query = Query(text="gate number 7", reader=EVERYTHING, generation=first.generation, mode="dense", limit=20)
    assert "7.md" in {hit.document for hit in (await base.search(query)).hits}


async def test_verify_finds_what_differs_elsewhere_and_repairs_it(
    base: KnowledgeBase, docs: Path, there: ExternalStore
) -> None:
    first = (await base.ingest(Sources(docs))).generation
    (docs / "7.md").unlink()
    second = (await base.ingest(Sources(docs))).generation
    assert (await base.verify()).sound
    assert base.mirror is not None
    before = {number: (await there.rows(number)).tolist() for number in (first, second)}
    [gone] = set(before[first]) - set(before[second])
    [batch] = [batch async for batch in base.mirror._points(0)]
    of = {point.row: point for point in batch}
    lost, hidden, turned, renamed, opened, *_ = before[second]
    change = msgspec.structs.replace
    await there.delete([lost])
    await there.retire([hidden], second)
    await there.upsert(
        [
            change(of[turned], vector=of[lost].vector),
            change(of[renamed], metadata={**of[renamed].metadata, "team": "board", "year": 1999}),
            change(of[opened], readers=("group:everybody",)),
            change(of[gone], removed_in=None),
            change(of[lost], row=9999),
        ]
    )
    found = await base.verify()
    assert [(each.part, each.subject, each.reason) for each in found.differences] == [
        ("elsewhere", "memory/docs", reason)
        for reason in (
            "not there: 1 passage",
            "there and not here: 1 passage",
            "another vector there: 1 passage",
            "other metadata there: 1 passage",
            "other readers there: 1 passage",
            "other generations there: 2 passages",
        )
    ]
    repaired = await base.verify(Sources(docs))
    assert (repaired.sound, len(repaired.differences)) == (True, 6)
    assert {number: (await there.rows(number)).tolist() for number in (first, second)} == before


async def test_repair_writes_only_what_differs(
    base: KnowledgeBase, docs: Path, there: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await base.ingest(Sources(docs))
    lost = int((await there.rows(1))[3])
    await there.delete([lost])
    written: list[int] = []
    write = there._backend.write

    async def noted(points: Sequence[StoredPoint]) -> None:
        written.extend(point.row for point in points)
        await write(points)

    monkeypatch.setattr(there._backend, "write", noted)
    assert (await base.verify(Sources(docs))).sound
    assert written == [lost]


async def test_verify_says_that_the_store_is_away(
    base: KnowledgeBase, docs: Path, there: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await base.ingest(Sources(docs))

    async def away(clause: object) -> list[int]:
        raise Unavailable("Qdrant at memory cannot be reached.")

    monkeypatch.setattr(there._backend, "list_rows", away)
    found = await base.verify()
    assert [(each.part, each.reason) for each in found.differences] == [
        ("elsewhere", "Qdrant at memory cannot be reached.")
    ]
    assert not found.sound


async def test_a_store_that_refuses_is_searched_here(
    base: KnowledgeBase, docs: Path, there: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await base.ingest(Sources(docs))
    query = Query(text="gate number 7", reader=EVERYTHING, mode="dense", limit=3)
    expected = (await base.search(query)).hits

    async def refuses(*wanted: object) -> object:
        raise StorageError("Qdrant at memory answered 503.")

    monkeypatch.setattr(there._backend, "query", refuses)
    assert [(hit.document, hit.score) for hit in (await base.search(query)).hits] == told(expected)
    assert base.mirror is not None
    assert str(base.mirror.trouble) == "Qdrant at memory answered 503."


async def test_a_store_that_answers_again_is_searched_at_once(
    base: KnowledgeBase, docs: Path, there: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await base.ingest(Sources(docs))
    query = Query(text="gate number 7", reader=EVERYTHING, mode="dense", limit=3)

    async def away(*wanted: object) -> object:
        raise Unavailable("Qdrant at memory cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(there._backend, "query", away)
        await base.search(query)
        assert there.trouble is not None
    await there.look()
    assert there.trouble is None
    assert base._searcher.stats() is not None, "the search before went on here"
    base._searcher.forget()
    await base.search(query)
    assert base._searcher.stats() is None
