"""The vectors in memory follow the generations, whichever way they are reached."""

import random
from pathlib import Path

import numpy as np
from support.hash_embedder import HashEmbedder

from penstock.ids import new_id
from penstock.knowledge.stores.index import VectorIndexes
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import FOLDER, NewChunk, NewDocument
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Stat


def document(path: str, texts: list[str]) -> NewDocument:
    return NewDocument(
        id=new_id("doc"),
        source=FOLDER,
        path=path,
        title=path,
        kind="text",
        status="ok",
        reason="",
        recipe="1",
        digest="",
        stat=Stat(1, 1, 1),
        pages=None,
        marks=b"",
        text="",
        chunks=tuple(
            NewChunk(start=0, end=1, page=None, heading=(), text=text, digest=text.encode(), terms=None)
            for text in texts
        ),
        loaded_at=0,
    )


async def test_an_index_made_from_an_earlier_one_is_the_same_as_one_made_anew(tmp_path: Path) -> None:
    embedder = HashEmbedder(dimensions=8)
    store = SqliteStore(tmp_path / "k.db")
    followed = VectorIndexes(embedder.dimensions)
    chance = random.Random(7)
    for run in range(8):
        pending = await store.begin(embedder)
        for path in chance.sample("abcdef", 3):
            texts = [f"{path} {run} {n}" for n in range(chance.randrange(4))]
            vectors = (await embedder.embed(texts)).vectors
            digests = {text.encode(): row.tobytes() for text, row in zip(texts, vectors, strict=True)}
            await store.write_document(pending, document(path, texts), digests)
        ledger = store.ledger(FOLDER)
        await store.remove(pending, [ledger[chance.choice(list(ledger))].row])
        await store.publish(pending, 0, keep=3)
        with store.database.read() as connection:
            reader = SqliteReader(connection, store.project_id)
            # Only every other generation is looked at, so that an index also skips one.
            if run % 2:
                for number in (reader.published().number, reader.published().number - 1):
                    generation = reader.generation(number)
                    index = followed.get(reader, generation)
                    anew = VectorIndexes(embedder.dimensions).get(reader, generation)
                    assert index.found.rows.tolist() == anew.found.rows.tolist()
                    assert np.array_equal(index.found.vectors, anew.found.vectors)
                    assert len(index.found.rows) == generation.chunks
    store.close()


def test_rows_that_are_not_there_have_no_place() -> None:
    empty = np.zeros(0, dtype=np.int64)
    from penstock.knowledge.stores.index import VectorIndex
    from penstock.knowledge.stores.records import Published, VectorRows

    index = VectorIndex(Published(1, "f", 3), VectorRows(np.array([2, 5, 9]), np.eye(3, dtype=np.float32)))
    assert index.positions(np.array([9, 1, 5, 10])).tolist() == [2, -1, 1, -1]
    none = VectorIndex(Published(1, "f", 0), VectorRows(empty, np.zeros((0, 3), dtype=np.float32)))
    assert none.positions(np.array([1, 2])).tolist() == [-1, -1]
