"""Runs over several sources: what fails keeps its documents, equal content is embedded once."""

import asyncio
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs
from support.hash_embedder import HashEmbedder
from support.knowledge_checks import check_store

from penstock.clock import SYSTEM_CLOCK
from penstock.errors import Conflict, NotFound, StorageFull, Unavailable, UpstreamFailed
from penstock.jobs.store import JobStore
from penstock.jobs.worker import Worker
from penstock.knowledge.base import EVERYTHING, IngestSummary, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.executors.process import ProcessExecutor
from penstock.knowledge.filters import Metadata
from penstock.knowledge.ingestion.jobs import KIND, IngestionJobs
from penstock.knowledge.ingestion.log import summary_of
from penstock.knowledge.ingestion.records import RunOptions, RunRules
from penstock.knowledge.ingestion.tally import Tally
from penstock.knowledge.sources.base import Item, Listing
from penstock.knowledge.sources.pushed import PushedDocument
from penstock.knowledge.stores.writes import Closing
from penstock.knowledge.values import Progress, SourceRemoved, ignore_progress
from penstock.seams import Embeddings, TextKind

OPTIONS = KnowledgeOptions(chunking=ChunkOptions(tokens=40))


class Shelf:
    """A source in memory: texts by key, with versions. What is `broken` fails as it would."""

    max_delete = 0.2

    def __init__(self, name: str, texts: dict[str, str]) -> None:
        self.name = name
        self.texts = texts
        self.metadata: Metadata = {}
        self.readers: tuple[str, ...] = ()
        self.broken = False
        self.changes: Listing | None = None
        self.asked: list[bytes] = []
        self.fetched: list[str] = []

    def item(self, key: str) -> Item:
        version = str(hash(self.texts[key]))
        return Item(
            key=key, version=version, kind="text", location=b"", metadata=self.metadata, readers=self.readers
        )

    async def list(self, cursor: bytes) -> Listing:
        self.asked.append(cursor)
        if self.broken:
            raise Unavailable(f"{self.name} is not there.")
        if cursor and self.changes is not None:
            return self.changes
        return Listing(items=tuple(self.item(key) for key in sorted(self.texts)), cursor=b"1")

    async def fetch(self, item: Item, folder: Path) -> Path:
        self.fetched.append(item.key)
        if item.key not in self.texts:
            raise NotFound("It is gone.")
        path = folder / item.key
        path.write_text(self.texts[item.key])
        return path

    async def close(self) -> None: ...


@pytest.fixture
def base(tmp_path: Path) -> Iterator[KnowledgeBase]:
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(), OPTIONS)
    yield base
    base.close()


def counted(summary: IngestSummary) -> tuple[int, int, int, int]:
    return summary.added, summary.changed, summary.unchanged, summary.removed


def paths(base: KnowledgeBase) -> list[str]:
    return [row.path for row in base.documents(EVERYTHING)]


async def test_a_source_that_fails_keeps_its_documents_and_the_others_go_on(base: KnowledgeBase) -> None:
    harbour, town = Shelf("web.harbour", {"a": "Ropes hold."}), Shelf("web.town", {"b": "Bells ring."})
    await base.ingest([harbour, town])
    harbour.broken = True
    town.texts["c"] = "Shops open."
    summary = await base.ingest([harbour, town])
    assert counted(summary) == (1, 0, 1, 0)
    assert [(problem.source, problem.reason) for problem in summary.sources] == [
        ("web.harbour", "web.harbour is not there.")
    ]
    assert paths(base) == ["a", "b", "c"]
    assert [run.state for run in await base.runs.latest()] == ["partial", "done"]


async def test_sources_that_all_fail_fail_the_run(base: KnowledgeBase) -> None:
    harbour = Shelf("web.harbour", {"a": "Ropes hold."})
    await base.ingest([harbour])
    harbour.broken = True
    with pytest.raises(Unavailable, match=r"web\.harbour is not there"):
        await base.ingest([harbour])
    [failed, _] = await base.runs.latest()
    assert (failed.state, failed.error and failed.error.message) == ("failed", "web.harbour is not there.")
    assert paths(base) == ["a"]


async def test_a_source_that_lacks_most_documents_is_not_believed_unless_it_is_told_to(base: KnowledgeBase) -> None:
    shelf = Shelf("web.harbour", {f"{number:02}": f"Number {number}." for number in range(20)})
    await base.ingest([shelf])
    shelf.texts = {"00": "Number 0.", "new": "Fresh."}
    summary = await base.ingest([shelf])
    assert counted(summary) == (1, 0, 1, 0)
    assert "19 of 20 documents are no longer there" in summary.sources[0].reason
    assert "--allow-delete" in summary.sources[0].reason
    assert len(paths(base)) == 21
    allowed = await base.ingest([shelf], rules=RunRules(allow_delete=True))
    assert (counted(allowed), allowed.sources) == ((0, 0, 2, 19), ())
    assert paths(base) == ["00", "new"]


async def test_a_source_that_is_no_longer_configured_goes_with_all_its_documents(base: KnowledgeBase) -> None:
    kept = Shelf("web.town", {"t": "Bells ring."})
    gone = Shelf("web.harbour", {f"{number:02}": f"Number {number}." for number in range(20)})
    await base.ingest([kept, gone])
    await base.push([PushedDocument(key="pushed.txt", data=b"Sent.")])
    await base.add_file("dropped.txt", b"Dropped.")
    summary = await base.ingest([kept])
    assert (counted(summary), summary.sources) == ((0, 0, 3, 20), ())
    assert summary.removed_sources == (SourceRemoved("web.harbour", 20),)
    assert paths(base) == ["dropped.txt", "pushed.txt", "t"]
    hits = (await base.search(Query(text="number", reader=EVERYTHING, mode="text"))).hits
    assert hits == ()
    assert (await base.ingest([kept])).removed_sources == ()
    assert (await base.verify()).differences == ()


async def test_a_source_under_another_name_is_neither_fetched_wrongly_nor_embedded_again(
    base: KnowledgeBase,
) -> None:
    texts = {f"{number:02}": f"Number {number}." for number in range(20)}
    shelf = Shelf("web.harbour", texts)
    shelf.changes = Listing(items=(), complete=False, cursor=b"2")
    await base.ingest([shelf])
    renamed = await base.ingest([Shelf("web.harbor", texts)])
    assert (counted(renamed), renamed.embedded) == ((20, 0, 0, 20), 0)
    back = await base.ingest([shelf])
    assert (counted(back), back.embedded, shelf.asked) == ((20, 0, 0, 20), 0, [b"", b""])


async def test_a_run_of_some_sources_leaves_the_others_as_they_are(base: KnowledgeBase) -> None:
    town, harbour = Shelf("web.town", {"t": "Bells ring."}), Shelf("web.harbour", {"h": "Ropes hold."})
    await base.ingest([town, harbour])
    town.texts["t"], harbour.texts["h"] = "Bells are silent.", "Ropes break."
    summary = await base.ingest([town, harbour], rules=RunRules(sources=("web.town",)))
    assert (counted(summary), summary.removed_sources, harbour.asked) == ((0, 1, 0, 0), (), [b""])
    assert paths(base) == ["h", "t"]
    hits = (await base.search(Query(text="ropes bells", reader=EVERYTHING))).hits
    assert {hit.text for hit in hits} == {"Ropes hold.", "Bells are silent."}


async def test_a_failing_source_is_still_configured(base: KnowledgeBase) -> None:
    kept, broken = Shelf("web.town", {"t": "Bells ring."}), Shelf("web.harbour", {"h": "Ropes hold."})
    await base.ingest([kept, broken])
    broken.broken = True
    summary = await base.ingest([kept, broken])
    assert (summary.removed, summary.removed_sources, paths(base)) == (0, (), ["h", "t"])


async def test_changes_since_a_cursor_are_enough_and_the_cursor_waits_for_the_run(base: KnowledgeBase) -> None:
    shelf = Shelf("sql.rows", {"a": "Ropes hold.", "b": "Bells ring.", "c": "Shops open."})
    await base.ingest([shelf])
    shelf.texts |= {"b": "Bells are silent.", "d": "Trams run."}
    shelf.changes = Listing(
        items=(shelf.item("b"), shelf.item("d")), complete=False, deleted=("c", "never"), cursor=b"2"
    )
    summary = await base.ingest([shelf])
    assert counted(summary) == (1, 1, 1, 1)
    assert paths(base) == ["a", "b", "d"]
    shelf.changes = Listing(items=(), complete=False, cursor=b"3")
    await base.ingest([shelf])
    assert shelf.asked == [b"", b"1", b"2"]


async def test_what_could_not_be_fetched_is_listed_again(base: KnowledgeBase) -> None:
    shelf = Shelf("sql.rows", {"a": "Ropes hold.", "b": "Bells ring."})
    await base.ingest([shelf])
    changed, shelf.texts["b"] = shelf.texts.pop("b"), "x"
    item = shelf.item("b")
    del shelf.texts["b"]
    shelf.changes = Listing(items=(item,), complete=False, cursor=b"2")
    assert (await base.ingest([shelf])).statuses == {"ok": 1, "vanished": 1}
    assert paths(base) == ["a", "b"]
    shelf.texts["b"] = changed
    await base.ingest([shelf])
    assert shelf.asked == [b"", b"1", b"1"]


async def test_equal_content_is_embedded_once_and_a_moved_document_is_not_even_read(base: KnowledgeBase) -> None:
    embedder = HashEmbedder()
    base._embedder = embedder
    shelf = Shelf("web.harbour", {f"{number}.txt": "The same words in each." for number in range(5)})
    summary = await base.ingest([shelf])
    assert (summary.chunks, summary.embedded, embedder.texts) == (5, 1, ["The same words in each."])
    elsewhere = Shelf("web.town", {"moved.txt": "The same words in each."})
    summary = await base.ingest([shelf, elsewhere])
    assert (counted(summary), summary.embedded) == ((1, 0, 5, 0), 0)
    row = next(row for row in base.documents(EVERYTHING) if row.path == "moved.txt")
    assert (row.title, row.source, row.chunks) == ("moved", "web.town", 1)
    assert (await base.verify()).differences == ()


async def test_what_a_source_says_of_a_document_changes_without_fetching_it(base: KnowledgeBase) -> None:
    shelf = Shelf("web.harbour", {"a": "Ropes hold.", "b": "Bells ring."})
    await base.ingest([shelf])
    shelf.fetched.clear()
    shelf.readers, shelf.metadata = ("group:hr",), {"team": "hr"}
    summary = await base.ingest([shelf])
    assert (counted(summary), summary.embedded, shelf.fetched) == ((0, 2, 0, 0), 0, [])
    assert [(row.readers, row.metadata) for row in base.documents(EVERYTHING)] == [
        (("group:hr",), {"team": "hr"})
    ] * 2
    hits = (await base.search(Query(text="ropes", reader=EVERYTHING))).hits
    assert (hits[0].document, hits[0].metadata) == ("a", {"team": "hr"})


class WrongEmbedder(HashEmbedder):
    """Answers some batches with too few vectors, or with none that is a number."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        found = await super().embed(texts, urgent=urgent)
        if urgent or len(self.texts) <= 256:
            return found
        vectors = found.vectors[:-1] if self.wrong == "few" else found.vectors * np.nan
        return Embeddings(vectors, found.tokens)


@pytest.mark.parametrize("wrong", ["few", "nan"])
async def test_an_index_that_is_partly_complete_is_never_a_success(tmp_path: Path, wrong: str) -> None:
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", WrongEmbedder(wrong), OPTIONS)
    shelf = Shelf("web.harbour", {f"{n:04}": f"Sentence {n} says its own thing." for n in range(600)})
    with pytest.raises(UpstreamFailed, match="Nothing was published"):
        await base.ingest([shelf])
    assert (base.generation(), paths(base)) == (0, [])
    assert [run.state for run in await base.runs.latest()] == ["failed"]
    base._embedder = HashEmbedder()
    assert (await base.ingest([shelf])).generation == 1
    assert check_store(tmp_path / "k.db") == 1
    base.close()


async def test_runs_after_a_rollback_make_generations_that_readers_do_not_see(base: KnowledgeBase) -> None:
    shelf = Shelf("web.harbour", {"a": "Version one."})
    await base.ingest([shelf])
    shelf.texts["a"] = "Version two."
    await base.ingest([shelf])
    assert (await base.generations.roll_back()).number == 1
    shelf.texts["a"] = "Version three."
    summary = await base.ingest([shelf])
    assert (summary.generation, base.generation()) == (3, 1)
    hits = (await base.search(Query(text="version", reader=EVERYTHING))).hits
    assert [hit.text for hit in hits] == ["Version one."]
    (change,) = base.generations.changes(1, 3, EVERYTHING)
    assert (change.change, base.document(change.document_id, EVERYTHING).text) == ("changed", "Version three.")
    shown = await base.generations.publish()
    assert (shown.number, shown.pinned) == (3, False)
    shelf.texts["a"] = "Version four."
    assert (await base.ingest([shelf])).generation == base.generation() == 4
    with pytest.raises(NotFound, match="Generation 9 of the knowledge is not kept"):
        await base.generations.roll_back(9)


async def test_the_generation_that_readers_are_kept_at_is_never_purged(tmp_path: Path) -> None:
    few = msgspec.structs.replace(OPTIONS, keep_generations=2)
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(), few)
    shelf = Shelf("web.harbour", {"a": "Version 0."})
    await base.ingest([shelf])
    shelf.texts["a"] = "Version 1."
    await base.ingest([shelf])
    await base.generations.roll_back(1)
    for number in range(2, 6):
        shelf.texts["a"] = f"Version {number}."
        await base.ingest([shelf])
    assert [hit.text for hit in (await base.search(Query(text="version", reader=EVERYTHING))).hits] == [
        "Version 0."
    ]
    assert (await base.verify()).differences == ()
    base.close()


@pytest.mark.parametrize("workers", [1, 4])
async def test_any_number_of_readers_comes_to_the_same(tmp_path: Path, workers: int) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(30):
        text = "\n\n".join(f"File {number} says thing {n} about ropes." for n in range(1 + number * 7 % 40))
        (docs / f"{number:02}.md").write_text(f"# {number}\n\n{text}")
    hashes = set()
    for count in (workers, 2):
        base = KnowledgeBase.open(tmp_path / f"{count}-{len(hashes)}.db", "docs", HashEmbedder(), OPTIONS)
        base._executor = lambda embedder, options, count=count: ProcessExecutor(embedder, options, count)  # type: ignore[misc]
        await base.ingest(Sources(docs))
        hashes.add(base.content_hash())
        base.close()
    assert len(hashes) == 1


async def test_a_durable_run_is_done_by_the_worker_and_again_after_a_kill(
    base: KnowledgeBase, tmp_path: Path
) -> None:
    shelf = Shelf("web.harbour", {"a": "Ropes hold."})
    jobs = JobStore(tmp_path)
    ingestions = IngestionJobs(jobs, {"docs": base}, lambda name: [shelf], SYSTEM_CLOCK)
    asked = await ingestions.submit("docs", "api")
    assert (await ingestions.submit("docs", "schedule")).id == asked.id, "a run that waits for the same is joined"

    killed = await base.runs.add("api", RunOptions(RunRules(note="k"), durable=True))
    await base._store.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE run SET state='running' WHERE id=?", (killed.id,))
    )
    worker = Worker(jobs, {KIND: ingestions.work})
    ingestions.tells(worker.wake)
    working = asyncio.create_task(worker.run())
    done = await base.runs.over(asked.id)
    assert (done.state, done.generation, counted(summary_of(done))) == ("done", 1, (1, 0, 0, 0))
    assert (await base.resume(killed.id, [shelf])).unchanged == 1
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    jobs.close()


async def test_a_run_can_be_cancelled_before_it_begins_and_not_afterwards(base: KnowledgeBase) -> None:
    run = await base.runs.add("api", RunOptions(RunRules(), durable=True))
    assert (await base.runs.cancel(run.id)).state == "cancelled"
    with pytest.raises(Conflict, match="was cancelled"):
        await base.resume(run.id, [Shelf("web.harbour", {"a": "Ropes hold."})])
    with pytest.raises(Conflict, match="is cancelled, and cannot be cancelled any more"):
        await base.runs.cancel(run.id)
    with pytest.raises(NotFound, match="There is no run 'run_x'"):
        await base.runs.get("run_x")
    assert base.generation() == 0


class WaitingEmbedder(HashEmbedder):
    """Says that it was asked, and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_run_that_is_cancelled_at_work_publishes_nothing_and_says_so(tmp_path: Path) -> None:
    embedder = WaitingEmbedder()
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", embedder, OPTIONS)
    run = await base.runs.add("api", RunOptions(RunRules(), durable=True))
    doing = asyncio.create_task(base.resume(run.id, [Shelf("web.harbour", {"a": "Ropes hold."})]))
    await embedder.asked.wait()
    await base.runs.cancel(run.id)
    with pytest.raises(Conflict, match="Nothing of it was published"):
        await doing
    assert ((await base.runs.get(run.id)).state, base.generation()) == ("cancelled", 0)
    base.close()


async def test_who_gives_up_waiting_for_its_turn_leaves_no_run_behind(tmp_path: Path) -> None:
    embedder = WaitingEmbedder()
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", embedder, OPTIONS)
    shelf = Shelf("web.harbour", {"a": "Ropes hold."})
    first = asyncio.create_task(base.ingest([shelf]))
    await embedder.asked.wait()
    second = asyncio.create_task(base.ingest([shelf]))
    for task in (second, first):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [run.state for run in await base.runs.latest()] == ["cancelled"]
    base.close()


class CancellingEmbedder(HashEmbedder):
    """Cancels its run while it works for it, and answers as if nothing had happened."""

    def __init__(self) -> None:
        super().__init__()
        self.base: KnowledgeBase | None = None

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        assert self.base is not None
        (run,) = await self.base.runs.latest()
        await self.base.runs.cancel(run.id)
        return await super().embed(texts, urgent=urgent, kind=kind)


async def test_a_run_that_is_cancelled_at_its_very_end_publishes_nothing(tmp_path: Path) -> None:
    embedder = CancellingEmbedder()
    base = embedder.base = KnowledgeBase.open(tmp_path / "k.db", "docs", embedder, OPTIONS)
    with pytest.raises(Conflict, match="Nothing of it was published"):
        await base.ingest([Shelf("web.harbour", {"a": "Ropes hold."})])
    assert ([run.state for run in await base.runs.latest()], base.generation()) == (["cancelled"], 0)
    base.close()


async def test_a_run_that_has_published_cannot_be_cancelled_any_more(base: KnowledgeBase) -> None:
    run = await base.runs.add("api", RunOptions(RunRules(), durable=False))

    async def doing(note: Progress) -> IngestSummary:
        pending = await base._store.begin(HashEmbedder())
        await base._store.publish(pending, Closing(cursors={}, keep=5, now_us=1, run=run.id))
        with pytest.raises(Conflict, match="is published, and cannot be cancelled any more"):
            await base.runs.cancel(run.id)
        return Tally(note).summary(pending.number, 0.0)

    await base.runs.work(run.id, doing, ignore_progress)
    ended = await base.runs.get(run.id)
    assert (ended.state, ended.generation, base.generation()) == ("done", 1, 1)


class FullDisk(Shelf):
    """A source whose documents find no room on this machine."""

    async def fetch(self, item: Item, folder: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_disk_without_room_for_what_is_fetched_ends_the_run_and_says_so(base: KnowledgeBase) -> None:
    shelf = FullDisk("web.harbour", {"a": "Ropes hold."})
    with pytest.raises(StorageFull, match="has no room for what is fetched"):
        await base.ingest([shelf])
    (run,) = await base.runs.latest()
    assert run.error is not None
    assert (run.state, run.error.code, base.generation()) == ("failed", "storage_full", 0)
    assert (await base.ingest([Shelf("web.harbour", shelf.texts)])).added == 1


async def test_a_file_that_took_too_much_memory_is_read_when_it_may_have_more(
    tmp_path: Path, base: KnowledgeBase
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "long.txt").write_text("The harbour has many ropes. " * 60_000)
    base.read_as(structs.replace(OPTIONS, parse_memory_bytes=160_000_000))
    assert (await base.ingest(Sources(docs))).statuses == {"too_large": 1}
    again = await base.ingest(Sources(docs))
    assert (again.statuses, again.generation) == ({"too_large": 1}, 1), "a run that finds the same makes nothing"
    base.read_as(OPTIONS)
    assert (await base.ingest(Sources(docs))).statuses == {"ok": 1}


async def test_another_encoder_embeds_each_text_once_however_many_there_are(tmp_path: Path) -> None:
    docs = {str(number): f"Rope {number % 350} holds the boat." for number in range(700)}
    for embedder in (HashEmbedder(), HashEmbedder("2")):
        base = KnowledgeBase.open(tmp_path / "k.db", "docs", embedder, OPTIONS)
        summary = await base.ingest([Shelf("web.harbour", docs)])
        assert (summary.embedded, len(set(embedder.texts)), len(embedder.texts)) == (350, 350, 350)
        assert (await base.verify()).sound
        base.close()
