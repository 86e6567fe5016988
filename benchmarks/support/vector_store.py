"""A Penstock knowledge base with given vectors, as `search.py` measures it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.filters import parse_filter
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors.indexes import IndexOptions, VectorIndexes
from penstock.knowledge.values import EVERYTHING, Scope

AT_ONCE = 5_000
DOCUMENT = (
    "INSERT INTO document (row, id, metadata, path, added_in, project_id, source, title, kind, status, reason,"
    " recipe, digest, size, mtime_ns, inode, characters, chunks, loaded_at) VALUES"
    f" (?, ?, ?, ?, 1, '{LOCAL_PROJECT}', 'folder', '', 'text', 'ok', '', '', '', 0, 0, 0, 0, 0, 0)"
)
CHUNK = (
    'INSERT INTO chunk (row, id, document_row, digest, text, added_in, project_id, start, "end", heading)'
    f" VALUES (?, ?, ?, ?, ?, 1, '{LOCAL_PROJECT}', 0, 0, '[]')"
)
EMBEDDING = f"INSERT INTO embedding (project_id, embedder_id, digest, vector) VALUES ('{LOCAL_PROJECT}', 1, ?, ?)"


def open_store(
    vectors: np.ndarray, folder: Path, passage: str, passages: int
) -> tuple[SqliteStore, VectorIndexes, dict[str, float]]:
    """The store and its indexes, and the seconds of writing, loading, making the graph, and opening it again."""
    started = time.perf_counter()
    store = SqliteStore(folder / "knowledge-docs.db")
    fill(store, vectors, passage, passages)
    written = time.perf_counter()
    indexes = opened(store)
    loaded = time.perf_counter()
    indexes.wait()
    built = time.perf_counter()
    indexes.close()
    indexes = opened(store)
    seconds = {
        "write": written - started,
        "load": loaded - written,
        "build": built - loaded,
        "open": time.perf_counter() - built,
    }
    return store, indexes, seconds


def opened(store: SqliteStore) -> VectorIndexes:
    indexes = VectorIndexes(store.database, options=IndexOptions(threads=os.cpu_count()))
    with store.database.read() as connection:
        indexes.get(connection, store.published())
    return indexes


def searcher(
    store: SqliteStore, indexes: VectorIndexes, k: int, order: dict[str, Any]
) -> Callable[[np.ndarray], list[int]]:
    """A search as an order says: `filter` is on the metadata, `text` whether passages are read."""
    wanted = order.get("filter")
    scope = Scope(1, EVERYTHING, None if wanted is None else parse_filter(wanted))

    def search(query: np.ndarray) -> list[int]:
        index = indexes.loaded(1)
        assert index is not None
        rows = index.search(query, k, scope).rows.tolist()
        if order.get("text", True):
            with store.database.read() as connection:
                found = SqliteReader(connection, store.project_id).chunks(rows)
            assert len(found) == len(rows)
        return [row - 1 for row in rows]

    return search


def fill(store: SqliteStore, vectors: np.ndarray, passage: str, passages: int) -> None:
    """Documents of some passages each; field `n` of document d is d modulo 1,000. The full-text index is left
    empty: it is not what is measured."""

    def begin(connection: Any) -> None:
        run = connection.exec_driver_sql
        run("DROP TRIGGER chunk_inserted")
        run(
            "INSERT INTO embedder (id, project_id, fingerprint, name, dimensions) VALUES (1, ?, 'f', 'f', ?)",
            (LOCAL_PROJECT, vectors.shape[1]),
        )

    def end(connection: Any) -> None:
        run = connection.exec_driver_sql
        run(
            "INSERT INTO generation (project_id, number, embedder_id, published_at, documents, chunks)"
            " VALUES (?, 1, 1, 1, 0, ?)",
            (LOCAL_PROJECT, len(vectors)),
        )
        run("INSERT INTO published (project_id, number) VALUES (?, 1)", (LOCAL_PROJECT,))

    store.database.submit(begin).result()
    for start in range(0, len(vectors), AT_ONCE):
        store.database.submit(lambda c, start=start: write(c, vectors, start, passage, passages)).result()
    store.database.submit(end).result()


def write(connection: Any, vectors: np.ndarray, start: int, passage: str, passages: int) -> None:
    """Passages from `start` on; a multiple of `passages` at once."""
    at = range(start, min(start + AT_ONCE, len(vectors)))
    documents = sorted({each // passages for each in at})
    run = connection.exec_driver_sql
    run(DOCUMENT, [(d + 1, f"doc_{d}", f'{{"n":{d % 1000}}}', f"{d}.txt") for d in documents])
    run(CHUNK, [(a + 1, f"chk_{a}", a // passages + 1, a.to_bytes(16, "big"), passage) for a in at])
    run(EMBEDDING, [(a.to_bytes(16, "big"), vectors[a].tobytes()) for a in at])
