"""Runs: what changed is taken in, what did not costs nothing, and a failure leaves what was there."""

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from support.documents import pdf
from support.hash_embedder import HashEmbedder
from support.knowledge_checks import check_store, content

from penstock.errors import ConfigError, EngineStopped, PenstockError, StorageFull, Unavailable
from penstock.knowledge.base import (
    EVERYTHING,
    IngestProgress,
    IngestSummary,
    KnowledgeBase,
    KnowledgeOptions,
    Query,
    Sources,
)
from penstock.knowledge.chunking import ChunkOptions
from penstock.seams import Embeddings, TextKind

SMALL = KnowledgeOptions(chunking=ChunkOptions(tokens=40), max_file_bytes=100_000, parse_seconds=20)


class Home:
    """A folder of documents, its knowledge base and its embedder."""

    def __init__(self, root: Path) -> None:
        self.docs = root / "docs"
        self.docs.mkdir()
        self.path = root / "data" / "knowledge-docs.db"
        self.embedder = HashEmbedder()
        self.base = self.open()

    def open(self, options: KnowledgeOptions = SMALL, embedder: HashEmbedder | None = None) -> KnowledgeBase:
        return KnowledgeBase.open(self.path, "docs", embedder or self.embedder, options)

    def reopen(self, options: KnowledgeOptions = SMALL, embedder: HashEmbedder | None = None) -> None:
        self.base.close()
        self.base = self.open(options, embedder)

    def write(self, name: str, content: str | bytes, *, age: float = 100.0) -> Path:
        """Writes a file that was changed `age` seconds ago; fresh ones are read again in the next run."""
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        when = path.stat().st_mtime - age
        os.utime(path, (when, when))
        return path

    async def ingest(self) -> IngestSummary:
        self.embedder.texts.clear()
        summary = await self.base.ingest(Sources(self.docs))
        assert check_store(self.path) == summary.generation == self.base.generation()
        return summary

    async def found(self, question: str, generation: int | None = None) -> list[str]:
        result = await self.base.search(Query(text=question, reader=EVERYTHING, generation=generation))
        return [hit.document for hit in result.hits if hit.text_score > 0]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.base.close()


def counted(summary: IngestSummary) -> tuple[int, int, int, int]:
    return summary.added, summary.changed, summary.unchanged, summary.removed


async def test_a_folder_is_taken_in_and_followed(home: Home) -> None:
    home.write("rules.md", "# Rules\n\nThe harbour master decides.")
    home.write("fees/fees.txt", "A night costs twelve euros.")
    assert counted(await home.ingest()) == (2, 0, 0, 0)
    assert await home.found("What does a night cost?") == ["fees/fees.txt"]

    again = await home.ingest()
    assert (counted(again), again.generation, home.embedder.texts) == ((0, 0, 2, 0), 1, [])

    home.write("fees/fees.txt", "A night costs thirteen euros. Paid in cash.", age=50)
    home.write("radio.txt", "Call on channel nine.")
    (home.docs / "rules.md").unlink()
    changed = await home.ingest()
    assert (counted(changed), changed.generation) == ((1, 1, 0, 1), 2)
    assert [row.path for row in home.base.documents(EVERYTHING)] == ["fees/fees.txt", "radio.txt"]
    assert await home.found("harbour master") == []
    assert await home.found("thirteen") == ["fees/fees.txt"]


async def test_an_earlier_generation_can_still_be_asked_and_its_documents_opened(home: Home) -> None:
    home.write("fees.txt", "A night costs twelve euros.")
    await home.ingest()
    [before] = (await home.base.search(Query(text="night", reader=EVERYTHING))).hits
    home.write("fees.txt", "A night costs thirteen euros.", age=50)
    await home.ingest()
    [after] = (await home.base.search(Query(text="night", reader=EVERYTHING))).hits
    pinned = await home.base.search(Query(text="night", reader=EVERYTHING, generation=1))
    assert [hit.text for hit in pinned.hits] == ["A night costs twelve euros."]
    assert pinned.generation == 1
    assert home.base.document(before.document_id, EVERYTHING).text[before.start : before.end] == before.text
    assert after.document_id != before.document_id


async def test_generations_beyond_those_kept_are_gone_with_all_they_had(home: Home) -> None:
    home.reopen(msgspec.structs.replace(SMALL, keep_generations=2))
    for night in range(5):
        home.write("fees.txt", f"Version{night} of the fees.", age=100 - night)
        await home.ingest()
    assert home.base.generation() == 5
    assert await home.found("Version3", generation=4) == ["fees.txt"]
    with pytest.raises(PenstockError, match="Generation 3 of the knowledge is not kept"):
        await home.base.search(Query(text="night", reader=EVERYTHING, generation=3))
    with home.base._store.database.read() as connection:
        counts = [
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            for table in ("document", "document_text", "chunk", "embedding", "generation")
        ]
    assert counts == [2, 2, 2, 2, 2]


async def test_a_touched_file_is_hashed_and_not_embedded(home: Home) -> None:
    path = home.write("a.txt", "Same words.")
    first = await home.ingest()
    os.utime(path, (1_000_000, 1_000_000))
    again = await home.ingest()
    assert (counted(again), again.generation, home.embedder.texts) == ((0, 0, 1, 0), first.generation, [])
    path.chmod(0o000)
    try:
        assert counted(await home.ingest()) == (0, 0, 1, 0)  # its new times are known: it is not even opened
    finally:
        path.chmod(0o644)


async def test_a_file_that_changed_within_the_grain_of_its_times_is_noticed(home: Home) -> None:
    path = home.docs / "a.txt"
    path.write_text("version one")
    status = path.stat()
    await home.ingest()
    path.write_text("version two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counted(await home.ingest()) == (0, 1, 0, 0)
    assert await home.found("two") == ["a.txt"]


async def test_a_moved_file_and_a_repeated_text_are_not_embedded_again(home: Home) -> None:
    home.write("a.txt", "The very same words.")
    await home.ingest()
    (home.docs / "a.txt").rename(home.docs / "b.txt")
    home.write("c.txt", "The very same words.")
    summary = await home.ingest()
    assert (counted(summary), summary.embedded) == ((2, 0, 0, 1), 0)
    assert sorted(await home.found("very same words")) == ["b.txt", "c.txt"]


async def test_another_embedder_embeds_everything_anew_and_vectors_never_mix(home: Home) -> None:
    home.write("a.txt", "Ropes and fenders.")
    home.write("b.txt", "Diesel and water.")
    await home.ingest()
    other = HashEmbedder("other", dimensions=48)
    home.reopen(embedder=other)
    between = await home.base.search(Query(text="Where are the ropes?", reader=EVERYTHING))
    assert [(hit.document, hit.vector_score) for hit in between.hits] == [("a.txt", None)]
    summary = await home.base.ingest(Sources(home.docs))
    assert (counted(summary), summary.embedded, summary.generation) == ((0, 0, 2, 0), 2, 2)
    assert check_store(home.path, dimensions=48) == 2
    hits = (await home.base.search(Query(text="Where are the ropes?", reader=EVERYTHING))).hits
    assert [hit.vector_score is None for hit in hits] == [False, False]
    old = await home.base.search(Query(text="ropes", reader=EVERYTHING, generation=1))
    assert [hit.vector_score for hit in old.hits] == [None]


async def test_other_passage_sizes_read_everything_again(home: Home) -> None:
    home.write("a.txt", "One sentence about ropes and how to tie them well. " * 10)
    first = await home.ingest()
    home.reopen(msgspec.structs.replace(SMALL, chunking=ChunkOptions(tokens=100)))
    second = await home.ingest()
    assert counted(second) == (0, 1, 0, 0)
    assert second.chunks < first.chunks


async def test_every_bad_file_ends_in_its_status_and_the_others_are_taken_in(home: Home) -> None:
    page = [[(12, "All ships obey.")]]
    home.write("good.md", "# Good\n\nAll is well.")
    home.write("locked.pdf", pdf(page, encrypted=True))
    home.write("cut.pdf", pdf(page)[:200])
    home.write("scan.pdf", pdf([[]]))
    home.write("letter.pdf", "Dear Sir")
    home.write("empty.txt", "")
    home.write("large.txt", "x" * 100_001)
    home.write("binary.txt", bytes(range(256)) * 9)
    home.write("broken.docx", b"PK\x03\x04 and no more")
    home.write("photo.png", b"\x89PNG")
    summary = await home.ingest()
    assert summary.statuses == {
        "corrupt": 4,
        "encrypted": 1,
        "no_text": 2,
        "ok": 1,
        "too_large": 1,
        "unsupported": 1,
    }
    assert {problem.path: problem.status for problem in summary.problems} == {
        "locked.pdf": "encrypted",
        "cut.pdf": "corrupt",
        "scan.pdf": "no_text",
        "letter.pdf": "corrupt",
        "empty.txt": "no_text",
        "large.txt": "too_large",
        "binary.txt": "corrupt",
        "broken.docx": "corrupt",
        "photo.png": "unsupported",
    }
    assert all(len(problem.reason) > 10 and "\n" not in problem.reason for problem in summary.problems)
    rows = {row.path: row for row in home.base.documents(EVERYTHING)}
    assert rows["locked.pdf"].status == "encrypted"
    assert (rows["locked.pdf"].chunks, rows["good.md"].chunks) == (0, 1)
    again = await home.ingest()
    assert (counted(again), again.generation, again.statuses) == ((0, 0, 9, 0), 1, summary.statuses)
    home.reopen(msgspec.structs.replace(SMALL, max_file_bytes=200_000))
    raised = await home.ingest()
    assert (raised.changed, raised.statuses["ok"]) == (1, 2)


async def test_a_file_that_was_good_and_is_broken_is_no_longer_found(home: Home) -> None:
    home.write("a.pdf", pdf([[(12, "All ships obey.")]]))
    await home.ingest()
    assert await home.found("ships") == ["a.pdf"]
    home.write("a.pdf", b"%PDF-1.4 rubbish", age=10)
    await home.ingest()
    assert await home.found("ships") == []


@pytest.mark.parametrize(
    "name", ["two words.md", 'it\'s "quoted".md', "港の規則.md", "новая\nстрока.md", "%s;{}.md"]
)
async def test_names_of_all_kinds_come_through(home: Home, name: str) -> None:
    home.write(name, "Ships obey.")
    await home.ingest()
    assert await home.found("ships") == [name]
    [row] = home.base.documents(EVERYTHING)
    assert (row.path, home.base.document(row.id, EVERYTHING).text) == (name, "Ships obey.")


async def test_pages_headings_and_kinds_reach_the_hits(home: Home) -> None:
    line = (12, "The harbour office is open on every day of the week, in winter too, and at night.")
    home.write(
        "book.pdf", pdf([[(24, "Harbour"), line, line], [(24, "Fees"), (12, "A night costs twelve euros.")]])
    )
    await home.ingest()
    hit = (await home.base.search(Query(text="What does a night cost?", reader=EVERYTHING))).hits[0]
    assert (hit.page, hit.heading, hit.title) == (2, ("Fees",), "Harbour")
    document = home.base.document(hit.document_id, EVERYTHING)
    assert document.row.pages == 2
    assert document.text[document.page_starts[1] :].startswith("Fees")
    assert [document.text[heading.start : heading.end] for heading in document.headings] == ["Harbour", "Fees"]


async def test_nothing_to_read_is_an_error_that_keeps_what_was_there(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"There are no documents in .*docs \(it is empty.*Markdown"):
        await home.base.ingest(Sources(home.docs))
    home.write("a.txt", "Ships obey.")
    await home.ingest()
    shutil.rmtree(home.docs)
    with pytest.raises(ConfigError, match="cannot be read"):
        await home.base.ingest(Sources(home.docs))
    home.docs.mkdir()  # as an unmounted disk would look
    with pytest.raises(ConfigError, match="What was taken in before is kept"):
        await home.base.ingest(Sources(home.docs))
    assert await home.found("ships") == ["a.txt"]


async def test_a_folder_that_cannot_be_listed_keeps_its_documents(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write("a.txt", "Ships obey.")
    home.write("far/b.txt", "Ropes hold.")
    await home.ingest()
    scandir = os.scandir
    gone = OSError(5, "Input/output error")

    def failing(path: str) -> object:
        if str(path).endswith("far"):
            raise gone
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", failing)
        summary = await home.ingest()
    assert (counted(summary), summary.statuses["unreadable"]) == ((0, 0, 1, 0), 1)
    assert await home.found("ropes") == ["far/b.txt"]


async def test_a_file_that_goes_away_or_cannot_be_opened_keeps_what_is_known_of_it(home: Home) -> None:
    path = home.write("a.txt", "Ships obey.")
    home.write("b.txt", "Ropes hold.")
    await home.ingest()
    path.write_text("Ships obey the rules.")
    home.write("new.txt", "Never seen.")

    def vanish(progress: IngestProgress) -> None:
        if progress.done < progress.total:  # after the listing, before the reading
            path.unlink(missing_ok=True)
            (home.docs / "new.txt").unlink(missing_ok=True)

    summary = await home.base.ingest(Sources(home.docs), progress=vanish)
    assert summary.statuses == {"ok": 1, "vanished": 2}
    assert counted(summary) == (0, 0, 1, 0)
    assert await home.found("ships") == ["a.txt"]
    assert counted(await home.ingest()) == (0, 0, 1, 1)
    assert await home.found("ships") == []


async def test_progress_names_every_file_and_ends_complete(home: Home) -> None:
    for number in range(5):
        home.write(f"{number}.txt", f"Number {number}.")
    seen: list[IngestProgress] = []
    await home.base.ingest(Sources(home.docs), progress=seen.append)
    assert {progress.current for progress in seen} >= {f"{number}.txt" for number in range(5)}
    assert (seen[-1].done, seen[-1].total) == (5, 5)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)


class FailingEmbedder(HashEmbedder):
    """Fails once it has embedded so many texts."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        if len(self.texts) + len(texts) > self.after:
            raise Unavailable("the encoder is gone")
        return await super().embed(texts, urgent=urgent, kind=kind)


async def test_a_run_that_fails_keeps_the_old_generation_and_the_next_goes_on(home: Home) -> None:
    home.write("old.txt", "Old and good.")
    await home.ingest()
    home.write(
        "long.txt", "".join(f"Sentence number {n} speaks of ropes and of what they hold. " for n in range(3000))
    )
    failing = FailingEmbedder(after=300)
    home.reopen(msgspec.structs.replace(SMALL, max_file_bytes=1_000_000), failing)
    with pytest.raises(Unavailable, match="the encoder is gone"):
        await home.base.ingest(Sources(home.docs))
    assert check_store(home.path) == 1
    assert await home.found("old") == ["old.txt"]
    kept = list(failing.texts)
    assert kept
    failing.texts.clear()
    failing.after = 10**9
    summary = await home.base.ingest(Sources(home.docs))
    assert check_store(home.path) == summary.generation == 2
    assert not set(kept) & set(failing.texts)
    assert summary.embedded == summary.chunks - len(kept)


class RestartedEmbedder(HashEmbedder):
    """Its process dies once, in the middle of the work."""

    died = False

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        if self.texts and not self.died:
            self.died = True
            raise EngineStopped("the encoder is restarting")
        return await super().embed(texts, urgent=urgent, kind=kind)


async def test_an_encoder_that_is_restarted_does_not_end_the_run(home: Home) -> None:
    home.write("long.txt", "".join(f"Sentence number {n} speaks of ropes and their use. " for n in range(1500)))
    embedder = RestartedEmbedder()
    home.reopen(embedder=embedder)
    summary = await home.base.ingest(Sources(home.docs))
    assert embedder.died
    assert check_store(home.path) == 1
    assert summary.embedded == summary.chunks


async def test_a_full_disk_is_said_and_the_old_generation_stays(home: Home) -> None:
    home.write("old.txt", "Old and good.")
    await home.ingest()

    def limit(connection: "object") -> None:
        pages = connection.execute(text("PRAGMA page_count")).scalar()  # type: ignore[attr-defined]
        connection.execute(text(f"PRAGMA max_page_count={pages + 5}"))  # type: ignore[attr-defined]

    await home.base._store.database.write(limit)
    for number in range(20):
        home.write(f"new{number}.txt", f"Words number {number}. " * 500)
    with pytest.raises(StorageFull, match="disk is full"):
        await home.base.ingest(Sources(home.docs))
    assert check_store(home.path) == 1
    assert await home.found("old") == ["old.txt"]
    home.reopen()  # with room again
    assert (await home.ingest()).statuses == {"ok": 21}


async def test_searches_during_a_run_see_the_old_generation_whole(home: Home) -> None:
    for number in range(30):
        home.write(f"{number:02}.txt", f"The harbour in version one, part {number}.")
    await home.ingest()
    for number in range(30):
        home.write(f"{number:02}.txt", f"The harbour in version two, part {number}.", age=50)
    run = asyncio.create_task(home.base.ingest(Sources(home.docs)))
    seen: list[tuple[int, set[str]]] = []
    while not run.done():
        result = await home.base.search(Query(text="harbour version part", reader=EVERYTHING, limit=50))
        seen.append((result.generation, {hit.text.split()[4].strip(",") for hit in result.hits}))
        assert len(result.hits) == 30
    await run
    assert seen[0] == (1, {"one"})
    assert all(versions == {"one" if generation == 1 else "two"} for generation, versions in seen)
    assert (await home.base.search(Query(text="harbour", reader=EVERYTHING))).generation == 2


async def test_two_runs_at_once_do_not_disturb_each_other(home: Home) -> None:
    for number in range(10):
        home.write(f"{number}.txt", f"Number {number}.")
    first, second = await asyncio.gather(home.base.ingest(Sources(home.docs)), home.base.ingest(Sources(home.docs)))
    assert counted(first) == (10, 0, 0, 0)
    assert counted(second) == (0, 0, 10, 0)
    assert check_store(home.path) == 1
    assert len(content(home.path)) == 10
