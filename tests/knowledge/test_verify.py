"""Whatever happens to a store's rows is found, and put right from the documents themselves."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.hash_embedder import HashEmbedder
from support.knowledge_checks import connect

from penstock.knowledge.base import KnowledgeBase, KnowledgeOptions, Sources
from penstock.knowledge.chunking import ChunkOptions

OPTIONS = KnowledgeOptions(chunking=ChunkOptions(tokens=40))
Damage = Callable[[sqlite3.Connection, random.Random], None]


class Kept:
    """Some documents, taken in twice so that there are two generations."""

    def __init__(self, root: Path) -> None:
        self.docs = root / "docs"
        self.docs.mkdir()
        self.path = root / "k.db"
        self.base = self.open()

    def open(self) -> KnowledgeBase:
        return KnowledgeBase.open(self.path, "docs", HashEmbedder(), OPTIONS)

    async def fill(self) -> str:
        for number in range(6):
            text = "\n\n".join(f"File {number} says thing {n} about ropes and knots." for n in range(8))
            (self.docs / f"{number}.md").write_text(f"# File {number}\n\n{text}")
        await self.base.ingest(Sources(self.docs))
        (self.docs / "5.md").unlink()
        (self.docs / "4.md").write_text("# Four\n\nFour is another now.")
        await self.base.ingest(Sources(self.docs))
        return self.base.content_hash()

    def damage(self, damage: Damage, seed: int) -> None:
        """As a fault of the disk, or somebody with a tool, would: with nothing of the store at work."""
        self.base.close()
        with connect(self.path) as connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            damage(connection, random.Random(seed))
            connection.commit()
        connection.close()
        self.base = self.open()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.base.close()


def any_row(connection: sqlite3.Connection, chance: random.Random, table: str, live: bool = True) -> int:
    where = "WHERE removed_in IS NULL" if live and table in ("document", "chunk") else ""
    rows = [row for (row,) in connection.execute(f"SELECT rowid FROM {table} {where} ORDER BY rowid")]
    return chance.choice(rows)


def delete_document(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute("DELETE FROM document WHERE row = ?", (any_row(connection, chance, "document"),))


def alter_title(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "document")
    connection.execute("UPDATE document SET title = title || '!' WHERE row = ?", (row,))


def open_to_others(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "document")
    connection.execute("UPDATE document SET readers = '[\"key:x\"]' WHERE row = ?", (row,))


def delete_text(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "document")
    connection.execute("DELETE FROM document_text WHERE document_row = ?", (row,))


def alter_text(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "document")
    connection.execute("UPDATE document_text SET text = 'x' || substr(text, 2) WHERE document_row = ?", (row,))


def delete_chunk(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute("DELETE FROM chunk WHERE row = ?", (any_row(connection, chance, "chunk"),))


def delete_chunk_and_keep_its_words(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute("DROP TRIGGER chunk_deleted")
    connection.execute("DELETE FROM chunk WHERE row = ?", (any_row(connection, chance, "chunk"),))
    connection.execute(
        "CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN INSERT INTO chunk_fts (chunk_fts, rowid, text,"
        " heading) VALUES ('delete', old.row, coalesce(old.terms, old.text), old.heading); END"
    )


def alter_chunk(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "chunk")
    connection.execute("UPDATE chunk SET text = replace(text, 'ropes', 'hopes') || '.' WHERE row = ?", (row,))


def move_chunk(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute("UPDATE chunk SET start = start + 1 WHERE row = ?", (any_row(connection, chance, "chunk"),))


def hide_chunk(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute("UPDATE chunk SET removed_in = 2 WHERE row = ?", (any_row(connection, chance, "chunk"),))


def delete_vector(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute("DELETE FROM embedding WHERE row = ?", (any_row(connection, chance, "embedding"),))


def alter_vector(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "embedding")
    (vector,) = connection.execute("SELECT vector FROM embedding WHERE row = ?", (row,)).fetchone()
    at = chance.randrange(len(vector))
    changed = vector[:at] + bytes([vector[at] ^ 0x80]) + vector[at + 1 :]
    connection.execute("UPDATE embedding SET vector = ? WHERE row = ?", (changed, row))


def cut_vector(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "embedding")
    connection.execute("UPDATE embedding SET vector = substr(vector, 1, 8) WHERE row = ?", (row,))


def delete_words(connection: sqlite3.Connection, chance: random.Random) -> None:
    row = any_row(connection, chance, "chunk")
    connection.execute(
        "INSERT INTO chunk_fts (chunk_fts, rowid, text, heading) SELECT 'delete', row, text, heading FROM chunk"
        " WHERE row = ?",
        (row,),
    )


def alter_words(connection: sqlite3.Connection, chance: random.Random) -> None:
    delete_words(connection, chance := random.Random(chance.random()))
    missing = connection.execute(
        "SELECT row FROM chunk WHERE row NOT IN (SELECT id FROM chunk_fts_docsize)"
    ).fetchone()
    connection.execute(
        "INSERT INTO chunk_fts (rowid, text, heading) VALUES (?, 'quite other words', '[]')", missing
    )


DAMAGES: list[Damage] = [
    delete_document,
    alter_title,
    open_to_others,
    delete_text,
    alter_text,
    delete_chunk,
    delete_chunk_and_keep_its_words,
    alter_chunk,
    move_chunk,
    hide_chunk,
    delete_vector,
    alter_vector,
    cut_vector,
    delete_words,
    alter_words,
]


async def test_what_is_as_it_was_written_is_sound(kept: Kept) -> None:
    await kept.fill()
    found = await kept.base.verify()
    assert (found.sound, found.differences, found.generation) == (True, (), 2)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_each_damage_is_found_and_put_right(kept: Kept, damage: Damage) -> None:
    expected = await kept.fill()
    kept.damage(damage, seed=20260711)
    found = await kept.base.verify()
    assert found.differences
    assert not found.sound
    mended = await kept.base.verify(Sources(kept.docs))
    assert (mended.sound, mended.left) == (True, ())
    assert kept.base.content_hash(mended.generation) == expected
    assert (await kept.base.verify()).differences == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
async def test_damages_that_come_together_are_put_right(kept: Kept, seed: int) -> None:
    expected = await kept.fill()
    chance = random.Random(seed)
    for number, damage in enumerate(chance.sample(DAMAGES, chance.randint(2, 4))):
        kept.damage(damage, seed=100 * seed + number)
    mended = await kept.base.verify(Sources(kept.docs))
    assert mended.sound, mended.left
    assert kept.base.content_hash(mended.generation) == expected


async def test_only_what_is_damaged_is_read_again(kept: Kept) -> None:
    await kept.fill()
    kept.damage(alter_text, seed=3)
    await kept.base.verify(Sources(kept.docs))
    [run, *_] = await kept.base.runs.latest()
    assert run.report is not None
    assert (run.report.changed, run.report.unchanged, run.report.embedded) == (1, 4, 0)
