"""A knowledge base of vectors, metadata and readers alone, written row by row: what an index reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from sqlalchemy import Connection, text

from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.filters import Metadata, matches
from penstock.knowledge.stores.records import Published
from penstock.knowledge.values import Reader, Scope
from penstock.storage.sqlite import SqliteDatabase

FINGERPRINT = "test:1"
DOCUMENT = (
    "INSERT INTO document (row, id, metadata, readers, added_in, project_id, source, path, title, kind, status,"
    " reason, recipe, digest, size, mtime_ns, inode, characters, chunks, loaded_at) VALUES (?, ?, ?, ?, ?,"
    f" '{LOCAL_PROJECT}', 's', hex(randomblob(8)), '', 'text', 'ok', '', '', '', 0, 0, 0, 0, 0, 0)"
)
CHUNK = (
    'INSERT INTO chunk (row, id, document_row, digest, added_in, project_id, start, "end", heading, text)'
    f" VALUES (?, ?, ?, ?, ?, '{LOCAL_PROJECT}', 0, 0, '[]', 'passage')"
)
EMBEDDING = f"INSERT INTO embedding (project_id, embedder_id, digest, vector) VALUES ('{LOCAL_PROJECT}', 1, ?, ?)"


class Known(Struct, frozen=True, kw_only=True):
    """A passage as it was written, for a reference that looks at every one."""

    row: int
    vector: np.ndarray
    metadata: Metadata
    readers: tuple[str, ...]


class VectorBase:
    """Generations are made with `publish`; documents are added and removed in between."""

    def __init__(self, path: Path, dimensions: int, fingerprint: str = FINGERPRINT) -> None:
        self.database = SqliteDatabase(path, "knowledge", durable=False)
        self.dimensions = dimensions
        self.fingerprint = fingerprint
        self.pending = 1
        self.generations: dict[int, Published] = {}
        self.shown: dict[int, dict[int, Known]] = {}
        self._live: dict[int, list[Known]] = {}
        self._digest = 0
        self._run(
            "INSERT INTO embedder (id, project_id, fingerprint, name, dimensions) VALUES (1, :p, :f, 'test', :d)",
            {"f": fingerprint, "d": dimensions},
        )

    @property
    def documents(self) -> list[int]:
        return list(self._live)

    def add(self, vectors: np.ndarray, metadata: Metadata | None = None, readers: Sequence[str] = ()) -> int:
        """A document with one passage for each vector; returns its row."""
        return self.add_many([vectors], [metadata or {}], [readers])[0]

    def add_many(
        self, vectors: Sequence[np.ndarray], metadata: Sequence[Metadata], readers: Sequence[Sequence[str]]
    ) -> list[int]:
        return self.database.submit(lambda c: self._add(c, vectors, metadata, readers)).result()

    def remove(self, document: int) -> None:
        for table, column in (("document", "row"), ("chunk", "document_row")):
            self._run(
                f"UPDATE {table} SET removed_in = :n WHERE {column} = :row AND removed_in IS NULL",
                {"n": self.pending, "row": document},
            )
        del self._live[document]

    def publish(self, keep: int = 5, at: int = 1000) -> Published:
        """The pending generation for readers; what only older ones than the last `keep` show is purged."""
        known = {each.row: each for passages in self._live.values() for each in passages}
        number, oldest = self.pending, self.pending - keep + 1
        made = Published(number, self.fingerprint, len(known))
        self._run(
            "INSERT INTO generation (project_id, number, embedder_id, published_at, documents, chunks)"
            " VALUES (:p, :n, 1, :at, 0, :chunks)",
            {"n": number, "at": at + number, "chunks": len(known)},
        )
        self._run("DELETE FROM generation WHERE project_id = :p AND number < :o", {"o": oldest})
        self._run("DELETE FROM chunk WHERE project_id = :p AND removed_in <= :o", {"o": oldest})
        self._run("DELETE FROM document WHERE project_id = :p AND removed_in <= :o", {"o": oldest})
        self.generations[number], self.shown[number] = made, known
        for gone in [each for each in self.generations if each < oldest]:
            del self.generations[gone], self.shown[gone]
        self.pending += 1
        return made

    def nearest(self, vector: np.ndarray, k: int, scope: Scope) -> list[tuple[int, float]]:
        """The reference: rows and cosines of the `k` nearest that may be found, by looking at each."""
        found = [
            (each.row, float(each.vector @ vector))
            for each in self.shown[scope.generation].values()
            if may_be_found(each, scope.reader, scope)
        ]
        return sorted(found, key=lambda pair: -pair[1])[:k]

    def close(self) -> None:
        self.database.close()

    def _run(self, statement: str, values: Mapping[str, object]) -> None:
        self.database.submit(lambda c: c.execute(text(statement), {"p": LOCAL_PROJECT, **values})).result()

    def _add(
        self,
        connection: Connection,
        vectors: Sequence[np.ndarray],
        metadata: Sequence[Metadata],
        readers: Sequence[Sequence[str]],
    ) -> list[int]:
        run = connection.exec_driver_sql
        document = run("SELECT coalesce(max(row), 0) FROM document").scalar_one()
        row = run("SELECT coalesce(max(row), 0) FROM chunk").scalar_one()
        documents, chunks, embeddings = [], [], []
        for own, about, tags in zip(vectors, metadata, readers, strict=True):
            document += 1
            documents.append(
                (document, f"d{self.pending}-{document}", json.dumps(about), json.dumps(list(tags)), self.pending)
            )
            self._live[document] = []
            for vector in own:
                row += 1
                self._digest += 1
                digest = self._digest.to_bytes(16, "big")
                chunks.append((row, f"c{self.pending}-{row}", document, digest, self.pending))
                embeddings.append((digest, vector.astype("<f4").tobytes()))
                passage = Known(row=row, vector=vector, metadata=about, readers=tuple(tags))
                self._live[document].append(passage)
        for statement, rows in ((DOCUMENT, documents), (CHUNK, chunks), (EMBEDDING, embeddings)):
            if rows:
                run(statement, rows)
        return [each[0] for each in documents]


def may_be_found(passage: Known, reader: Reader, scope: Scope) -> bool:
    return reader.may_find(passage.readers) and (scope.filter is None or matches(scope.filter, passage.metadata))


def random_vectors(count: int, dimensions: int, chance: np.random.Generator) -> np.ndarray:
    """Around a few directions, always the same, as texts are."""
    middle = np.random.default_rng(dimensions).standard_normal((8, dimensions))
    found = middle[chance.integers(8, size=count)] + 0.7 * chance.standard_normal((count, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
