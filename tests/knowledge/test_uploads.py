"""Files dropped in: kept as files, found by the next run, and refused with a reason."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.documents import pdf
from support.hash_embedder import HashEmbedder
from support.knowledge_checks import check_store

from penstock.errors import BodyTooLarge, InvalidRequest, NotFound, StorageFull
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.sources.pushed import PushedDocument
from penstock.knowledge.sources.uploads import checked_name


@pytest.fixture
def base(tmp_path: Path) -> Iterator[KnowledgeBase]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rules.txt").write_text("Ships obey.")
    options = KnowledgeOptions(max_file_bytes=10_000)
    base = KnowledgeBase.open(tmp_path / "data" / "k.db", "harbour", HashEmbedder(), options)
    yield base
    base.close()


async def paths(base: KnowledgeBase) -> list[tuple[str, bool]]:
    return [(row.path, row.uploaded) for row in base.documents(EVERYTHING)]


async def test_an_upload_is_found_and_stays_through_later_runs(base: KnowledgeBase, tmp_path: Path) -> None:
    row = await base.add_file("fees ü.md", b"# Fees\n\nA night costs twelve euros.")
    assert (row.path, row.status, row.title, row.uploaded, row.chunks) == ("fees ü.md", "ok", "Fees", True, 1)
    assert (await base.search(Query(text="night", reader=EVERYTHING))).hits[0].document == "fees ü.md"
    await base.ingest(Sources(tmp_path / "docs"))
    assert await paths(base) == [("fees ü.md", True), ("rules.txt", False)]
    assert (tmp_path / "data" / "uploads" / "harbour" / "fees ü.md").exists()
    check_store(tmp_path / "data" / "k.db")


async def test_a_new_version_takes_the_place_of_the_old_one(base: KnowledgeBase) -> None:
    await base.add_file("fees.md", b"Twelve euros.")
    await base.add_file("fees.md", b"Thirteen euros.")
    assert await paths(base) == [("fees.md", True)]
    assert [hit.text for hit in (await base.search(Query(text="euros", reader=EVERYTHING))).hits] == [
        "Thirteen euros."
    ]
    same = await base.add_file("fees.md", b"Thirteen euros.")
    assert (same.path, base.generation()) == ("fees.md", 2)


async def test_what_comes_while_readers_are_kept_at_an_earlier_generation(base: KnowledgeBase) -> None:
    await base.add_file("fees.md", b"Twelve euros.")
    await base.add_file("fees.md", b"Thirteen euros.")
    await base.generations.roll_back()
    uploaded = await base.add_file("hours.md", b"Open at six.")
    [pushed] = await base.push([PushedDocument(key="tides.txt", data=b"High at nine.")])
    assert (uploaded.status, pushed.status, await paths(base)) == ("ok", "ok", [("fees.md", True)])
    assert base.document(uploaded.id, EVERYTHING).text == "Open at six."
    await base.generations.publish()
    assert [path for path, _ in await paths(base)] == ["fees.md", "hours.md", "tides.txt"]


async def test_a_file_that_cannot_be_read_is_kept_with_its_status(base: KnowledgeBase) -> None:
    row = await base.add_file("locked.pdf", pdf([[(12, "x")]], encrypted=True))
    assert (row.status, row.chunks) == ("encrypted", 0)
    assert "Save a copy without one" in row.reason


async def test_an_upload_and_a_file_of_the_folder_may_have_one_name(base: KnowledgeBase, tmp_path: Path) -> None:
    await base.ingest(Sources(tmp_path / "docs"))
    await base.add_file("rules.txt", b"Ships may rest.")
    assert await paths(base) == [("rules.txt", False), ("rules.txt", True)]


async def test_an_upload_can_be_removed_and_a_file_of_the_folder_not(base: KnowledgeBase, tmp_path: Path) -> None:
    await base.ingest(Sources(tmp_path / "docs"))
    uploaded = await base.add_file("fees.md", b"Twelve euros.")
    await base.remove_document(uploaded.id)
    assert await paths(base) == [("rules.txt", False)]
    assert not (tmp_path / "data" / "uploads" / "harbour" / "fees.md").exists()
    [kept] = base.documents(EVERYTHING)
    with pytest.raises(
        InvalidRequest, match=r"'rules\.txt' is a file of the app's folder\. Delete the file itself"
    ):
        await base.remove_document(kept.id)
    with pytest.raises(NotFound, match="There is no document 'doc_x'"):
        await base.remove_document("doc_x")


async def test_uploads_alone_are_enough(base: KnowledgeBase, tmp_path: Path) -> None:
    await base.add_file("fees.md", b"Twelve euros.")
    (tmp_path / "docs" / "rules.txt").unlink()
    await base.ingest(Sources(tmp_path / "docs"))
    assert await paths(base) == [("fees.md", True)]


async def test_too_much_and_unreadable_kinds_are_refused(base: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge, match=r"'big\.txt' has 0\.0 MB, more than the 0 MB"):
        await base.add_file("big.txt", b"x" * 10_001)
    with pytest.raises(InvalidRequest, match=r"'photo\.png' is not of a kind that can be read"):
        await base.add_file("photo.png", b"x")
    assert not (tmp_path / "data" / "uploads").exists()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\Users\\me\\notes.txt", "notes.txt"),
        ("/notes.txt", "notes.txt"),
        (" two words.md ", "two words.md"),
        ("港.md", "港.md"),
    ],
)
def test_only_the_last_part_of_a_name_counts(name: str, kept: str) -> None:
    assert checked_name(name) == kept


@pytest.mark.parametrize(
    "name", ["", "..", ".", ".hidden.md", "a/", "a\nb.md", "a\0.md", "~$a.docx", "x" * 200 + ".md", "\ud800.md"]
)
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_name(name)


async def test_a_full_disk_leaves_no_half_upload(
    base: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageFull, match=r"The disk is full: 'fees\.md' was not kept"):
            await base.add_file("fees.md", b"Twelve euros.")
    assert list((tmp_path / "data" / "uploads" / "harbour").iterdir()) == []
