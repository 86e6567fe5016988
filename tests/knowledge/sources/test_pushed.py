"""Documents that are sent: kept before they are read, the same twice is once, and deleted ones are gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hash_embedder import HashEmbedder

from penstock.errors import BodyTooLarge, InvalidRequest, NotFound
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.sources.pushed import PushedDocument, checked
from penstock.knowledge.values import Reader


def document(key: str = "hr/leave.md", text: str = "# Leave\n\nThirty days.", **fields: object) -> PushedDocument:
    return PushedDocument(key=key, data=text.encode(), **fields)  # type: ignore[arg-type]


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(), KnowledgeOptions(max_file_bytes=1000))
    yield base
    base.close()


async def test_what_is_pushed_is_found_with_all_that_was_said_of_it(base: KnowledgeBase) -> None:
    [row] = await base.push(
        [
            document(
                title="Days off",
                url="https://example.com/leave",
                metadata={"team": "hr", "year": 2026, "tags": ("a", "b")},
                readers=("group:hr",),
            )
        ]
    )
    assert (row.path, row.source, row.status, row.title) == ("hr/leave.md", "pushed", "ok", "Days off")
    assert (row.url, row.readers) == ("https://example.com/leave", ("group:hr",))
    assert row.metadata == {"team": "hr", "year": 2026, "tags": ("a", "b")} and not row.uploaded
    hits = (await base.search(Query(text="thirty days", reader=EVERYTHING))).hits
    assert [hit.document for hit in hits] == ["hr/leave.md"]
    stranger = Reader(("group:it",))
    assert (await base.search(Query(text="thirty days", reader=stranger))).hits == ()


async def test_the_same_twice_is_once_and_a_change_takes_its_place(base: KnowledgeBase) -> None:
    first = await base.push([document(), document("b.txt", "Other.")])
    again = await base.push([document(), document("b.txt", "Other.")])
    assert [row.id for row in again] == [row.id for row in first]
    assert len(base.documents(EVERYTHING)) == 2
    [changed] = await base.push([document(text="# Leave\n\nForty days.")])
    assert base.document(changed.id, EVERYTHING).text.endswith("Forty days.")
    assert [
        hit.document for hit in (await base.search(Query(text="thirty", reader=EVERYTHING, mode="text"))).hits
    ] == []
    [closed] = await base.push([document(text="# Leave\n\nForty days.", readers=("group:hr",))])
    assert closed.readers == ("group:hr",), "who may read changes without the text"
    assert len(base.documents(EVERYTHING)) == 2


async def test_what_is_pushed_stays_through_runs_and_restarts(base: KnowledgeBase, tmp_path: Path) -> None:
    await base.push([document()])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("A file.")
    await base.ingest(Sources(tmp_path / "docs"))
    assert {row.path for row in base.documents(EVERYTHING)} == {"a.txt", "hr/leave.md"}
    base.close()
    again = KnowledgeBase.open(
        tmp_path / "k.db", "docs", HashEmbedder(), KnowledgeOptions(chunking=ChunkOptions(tokens=64))
    )
    await again.ingest(Sources(tmp_path / "docs"))
    assert {row.path: row.status for row in again.documents(EVERYTHING)} == {"a.txt": "ok", "hr/leave.md": "ok"}
    again.close()


async def test_a_deleted_document_is_served_no_more(base: KnowledgeBase) -> None:
    rows = await base.push([document(f"{number}.txt", f"Text {number}.") for number in range(8)])
    for row in rows:
        await base.remove_document(row.id)
    assert base.documents(EVERYTHING) == []
    assert (await base.search(Query(text="text", reader=EVERYTHING))).hits == ()
    with pytest.raises(NotFound):
        await base.remove_document("doc_nowhere")


async def test_a_document_that_cannot_be_read_is_kept_with_its_status(base: KnowledgeBase) -> None:
    broken, fine = await base.push([document("a.pdf", "%PDF-1.4 broken"), document()])
    assert (broken.status, fine.status) == ("corrupt", "ok")


WRONG = {
    "no documents": ([], "There are 0 documents in one request. Send 1 to 500"),
    "too many": ([document(f"{n}.md") for n in range(501)], "There are 501 documents in one request."),
    "twice": ([document(), document()], "documents[1].key 'hr/leave.md' is that of documents[0], too."),
    "no key": ([document("  ")], "documents[0].key '  ' is not a key."),
    "two lines": ([document("a\nb.md")], "documents[0].key 'a\\nb.md' is not a key."),
    "long key": ([document("x" * 1001)], "documents[0].key 'xxxxxxxxxxxxxxxxxxxx"),
    "no kind": ([document(), document("a.zip")], "documents[1].kind is missing, and the key 'a.zip' does not say"),
    "bad url": ([document(url="javascript:x()")], "documents[0].url 'javascript:x()' is not an address of http"),
    "bad reader": ([document(readers=("hr",))], "documents[0].readers has 'hr'. Readers are such as 'group:hr'"),
    "long title": ([document(title="x" * 1001)], "documents[0].title has 1,001 characters."),
    "long field": (
        [document(metadata={"a": "x" * 1001})],
        "documents[0].metadata has a field 'a' that is too long.",
    ),
    "fields": ([document(metadata={str(n): n for n in range(101)})], "documents[0].metadata has 101 fields."),
    "number": (
        [document(metadata={"a": 1 << 63})],
        "documents[0].metadata has a field 'a' whose number does not fit into 64 bits.",
    ),
}


@pytest.mark.parametrize(("documents", "message"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    base: KnowledgeBase, documents: list[PushedDocument], message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await base.push(documents)
    assert str(caught.value).startswith(message)
    assert base.documents(EVERYTHING) == []


async def test_a_document_that_is_too_large_is_refused(base: KnowledgeBase) -> None:
    with pytest.raises(BodyTooLarge, match=r"'big\.md' has 0\.0 MB, more than the 0 MB"):
        await base.push([document(), document("big.md", "x" * 1001)])
    assert base.documents(EVERYTHING) == []


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3))
def test_whatever_is_sent_is_taken_or_refused_in_words(key: str, metadata: dict[str, str | int]) -> None:
    try:
        [(row, data)] = checked([PushedDocument(key=key, data=b"x", kind="text", metadata=metadata)], 10, 1)
    except InvalidRequest as error:
        assert error.param is not None and error.param.startswith("documents[0]")
    else:
        assert (row.key, row.size, data) == (key, 1, b"x")
