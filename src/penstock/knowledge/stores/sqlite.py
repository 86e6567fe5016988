"""The write side of the embedded store: the ledger of files, generations, passages and vectors.

A run writes everything under the number after the published one, each document in one transaction, and moves
the pointer at its end. What a killed run wrote under that number is found again by the next, which goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, text

from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.stores.records import (
    ChunkInput,
    LedgerRow,
    NewChunk,
    NewDocument,
    Pending,
    Published,
)
from penstock.knowledge.values import Stat
from penstock.seams import Embedder
from penstock.storage.sqlite import SqliteDatabase

SCHEMA = "knowledge"
MAX_PARAMETERS = 500
ROWS_AT_ONCE = 1000


class SqliteStore:
    """The documents of one project in one file. Reading for answers is in `SqliteReader`."""

    def __init__(self, path: Path, project_id: str = LOCAL_PROJECT) -> None:
        self.project_id = project_id
        self.database = SqliteDatabase(path, SCHEMA)

    def close(self) -> None:
        self.database.close()

    def published(self) -> Published:
        """The generation that readers see."""
        with self.database.read() as connection:
            return published(connection, self.project_id)

    def ledger(self, source: str) -> dict[str, LedgerRow]:
        """Every live file of a source by its path, those of an unfinished run included."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT path, row, size, mtime_ns, inode, digest, recipe, status, reason, chunks FROM document"
                    " WHERE project_id = :project AND source = :source AND removed_in IS NULL"
                ),
                {"project": self.project_id, "source": source},
            )
            return {
                path: LedgerRow(
                    row=row,
                    stat=Stat(size, mtime_ns, inode),
                    digest=digest,
                    recipe=recipe,
                    status=status,
                    reason=reason,
                    chunks=chunks,
                )
                for path, row, size, mtime_ns, inode, digest, recipe, status, reason, chunks in rows
            }

    async def begin(self, embedder: Embedder) -> Pending:
        """The generation after the published one, for vectors of this embedder."""
        keys = {"project": self.project_id, "fingerprint": embedder.fingerprint}

        def work(connection: Connection) -> Pending:
            connection.execute(
                text(
                    "INSERT INTO embedder (project_id, fingerprint, name, dimensions)"
                    " VALUES (:project, :fingerprint, :name, :dimensions) ON CONFLICT DO NOTHING"
                ),
                {**keys, "name": embedder.name, "dimensions": embedder.dimensions},
            )
            number = published(connection, self.project_id).number + 1
            return Pending(number, embedder_id(connection, keys) or 0)

        return await self.database.write(work)

    def cached_vectors(self, pending: Pending, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """The vectors that were computed before for what has these digests."""
        found: dict[bytes, bytes] = {}
        with self.database.read() as connection:
            for batch in batches(digests, MAX_PARAMETERS):
                rows = connection.execute(
                    text(
                        "SELECT digest, vector FROM embedding WHERE project_id = :project"
                        " AND embedder_id = :embedder AND digest IN :digests"
                    ).bindparams(bindparam("digests", expanding=True)),
                    {"project": self.project_id, "embedder": pending.embedder_id, "digests": list(batch)},
                )
                found.update((digest, vector) for digest, vector in rows)
        return found

    async def keep_vectors(self, pending: Pending, vectors: Mapping[bytes, bytes]) -> None:
        """Writes vectors ahead of their document, so that a long one is not embedded twice after a crash."""
        await self.database.write(lambda connection: self._insert_vectors(connection, pending, vectors))

    async def write_document(self, pending: Pending, document: NewDocument, vectors: Mapping[bytes, bytes]) -> None:
        """Writes a document, its passages, full-text rows and vectors in one transaction."""

        def work(connection: Connection) -> None:
            self._retire(
                connection,
                pending,
                "d.source = :source AND d.path = :path",
                {"source": document.source, "path": document.path},
            )
            row = self._insert_document(connection, pending, document)
            self._insert_vectors(connection, pending, vectors)
            self._insert_chunks(connection, pending, row, document)

        await self.database.write(work)

    async def remove(self, pending: Pending, rows: Sequence[int]) -> None:
        """Takes documents out of the pending generation; earlier ones still show them."""

        def work(connection: Connection) -> None:
            for row in rows:
                self._retire(connection, pending, "d.row = :row", {"row": row})

        await self.database.write(work)

    async def touch(self, stats: Sequence[tuple[int, Stat]]) -> None:
        """Notes that files with unchanged content have new times."""

        def work(connection: Connection) -> None:
            connection.execute(
                text("UPDATE document SET size = :size, mtime_ns = :mtime, inode = :inode WHERE row = :row"),
                [
                    {"row": row, "size": stat.size, "mtime": stat.mtime_ns, "inode": stat.inode}
                    for row, stat in stats
                ],
            )

        await self.database.write(work)

    def chunks_without_vector(self, pending: Pending, limit: int) -> list[ChunkInput]:
        """Live passages that this generation's embedder has not seen, for a change of embedder."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT c.heading, c.text, c.digest FROM chunk c WHERE c.project_id = :project"
                    " AND c.removed_in IS NULL AND NOT EXISTS (SELECT 1 FROM embedding e WHERE e.project_id ="
                    " c.project_id AND e.embedder_id = :embedder AND e.digest = c.digest)"
                    " GROUP BY c.digest ORDER BY c.row LIMIT :limit"
                ),
                {"project": self.project_id, "embedder": pending.embedder_id, "limit": limit},
            )
            return [
                ChunkInput(msgspec.json.decode(heading, type=tuple[str, ...]), body, digest)
                for heading, body, digest in rows
            ]

    async def publish(self, pending: Pending, now_us: int, keep: int) -> int:
        """Moves the pointer to the pending generation if it differs from the published one; returns the number.

        Generations older than the last `keep` go, with what only they showed.
        """
        names = {"project": self.project_id, "number": pending.number, "embedder": pending.embedder_id}

        def work(connection: Connection) -> int:
            if not self._differs(connection, pending):
                return pending.number - 1
            connection.execute(
                text(
                    "INSERT INTO generation (project_id, number, embedder_id, published_at, documents, chunks)"
                    " SELECT :project, :number, :embedder, :now,"
                    " (SELECT count(*) FROM document WHERE project_id = :project AND removed_in IS NULL),"
                    " (SELECT count(*) FROM chunk WHERE project_id = :project AND removed_in IS NULL)"
                ),
                {**names, "now": now_us},
            )
            connection.execute(
                text(
                    "INSERT INTO published (project_id, number) VALUES (:project, :number)"
                    " ON CONFLICT (project_id) DO UPDATE SET number = excluded.number"
                ),
                names,
            )
            return pending.number

        number = await self.database.write(work)
        if number == pending.number:
            await self.database.write(lambda connection: self._purge(connection, number - keep + 1))
        return number

    def _differs(self, connection: Connection, pending: Pending) -> bool:
        names = {"project": self.project_id, "number": pending.number, "embedder": pending.embedder_id}
        changed = connection.execute(
            text(
                "SELECT EXISTS (SELECT 1 FROM document WHERE project_id = :project AND added_in = :number)"
                " OR EXISTS (SELECT 1 FROM document WHERE project_id = :project AND removed_in = :number)"
                " OR NOT EXISTS (SELECT 1 FROM generation WHERE project_id = :project AND number = :number - 1"
                "  AND embedder_id = :embedder)"
            ),
            names,
        ).scalar()
        return bool(changed)

    def _retire(self, connection: Connection, pending: Pending, where: str, names: dict[str, Any]) -> None:
        """Ends documents with this generation; one that was never published leaves no trace."""
        found = connection.execute(
            text(
                "SELECT d.row, d.added_in FROM document d WHERE d.removed_in IS NULL"  # noqa: S608
                f" AND d.project_id = :project AND {where}"
            ),
            {"project": self.project_id, **names},
        ).all()
        for row, added_in in found:
            keys = {"row": row, "number": pending.number}
            if added_in == pending.number:
                connection.execute(text("DELETE FROM chunk WHERE document_row = :row"), keys)
                connection.execute(text("DELETE FROM document WHERE row = :row"), keys)
            else:
                connection.execute(text("UPDATE chunk SET removed_in = :number WHERE document_row = :row"), keys)
                connection.execute(text("UPDATE document SET removed_in = :number WHERE row = :row"), keys)

    def _insert_document(self, connection: Connection, pending: Pending, document: NewDocument) -> int:
        row = connection.execute(
            text(
                "INSERT INTO document (id, project_id, source, path, title, kind, status, reason, recipe, digest,"
                " size, mtime_ns, inode, characters, pages, chunks, loaded_at, added_in) VALUES (:id, :project,"
                " :source, :path, :title, :kind, :status, :reason, :recipe, :digest, :size, :mtime, :inode,"
                " :characters, :pages, :chunks, :loaded_at, :number) RETURNING row"
            ),
            {
                "id": document.id,
                "project": self.project_id,
                "source": document.source,
                "path": document.path,
                "title": document.title,
                "kind": document.kind,
                "status": document.status,
                "reason": document.reason,
                "recipe": document.recipe,
                "digest": document.digest,
                "size": document.stat.size,
                "mtime": document.stat.mtime_ns,
                "inode": document.stat.inode,
                "characters": len(document.text),
                "pages": document.pages,
                "chunks": len(document.chunks),
                "loaded_at": document.loaded_at,
                "number": pending.number,
            },
        ).scalar_one()
        connection.execute(
            text("INSERT INTO document_text (document_row, project_id, marks, text) VALUES (:row, :p, :m, :t)"),
            {"row": row, "p": self.project_id, "m": document.marks, "t": document.text},
        )
        return int(row)

    def _insert_chunks(self, connection: Connection, pending: Pending, row: int, document: NewDocument) -> None:
        prefix = document.id.partition("_")[2]
        insert = text(
            'INSERT INTO chunk (id, project_id, document_row, start, "end", page, digest, added_in, heading, text,'
            " terms)"
            " VALUES (:id, :project, :document, :start, :end, :page, :digest, :number, :heading, :text, :terms)"
        )
        shared = {"project": self.project_id, "document": row, "number": pending.number}
        for first in range(0, len(document.chunks), ROWS_AT_ONCE):
            numbered = enumerate(document.chunks[first : first + ROWS_AT_ONCE], first)
            rows = [{"id": f"chk_{prefix}_{index}", **shared, **chunk_columns(chunk)} for index, chunk in numbered]
            connection.execute(insert, rows)

    def _insert_vectors(self, connection: Connection, pending: Pending, vectors: Mapping[bytes, bytes]) -> None:
        if not vectors:
            return
        connection.execute(
            text(
                "INSERT INTO embedding (project_id, embedder_id, digest, vector)"
                " VALUES (:project, :embedder, :digest, :vector) ON CONFLICT DO NOTHING"
            ),
            [
                {"project": self.project_id, "embedder": pending.embedder_id, "digest": digest, "vector": vector}
                for digest, vector in vectors.items()
            ],
        )

    def _purge(self, connection: Connection, oldest: int) -> None:
        """Deletes what no generation from `oldest` on shows."""
        names = {"project": self.project_id, "oldest": oldest}
        connection.execute(text("DELETE FROM generation WHERE project_id = :project AND number < :oldest"), names)
        gone = connection.execute(
            text("DELETE FROM chunk WHERE project_id = :project AND removed_in <= :oldest"), names
        ).rowcount
        connection.execute(
            text("DELETE FROM document WHERE project_id = :project AND removed_in <= :oldest"), names
        )
        unused = (
            "DELETE FROM embedding WHERE project_id = :project AND embedder_id NOT IN"
            " (SELECT embedder_id FROM generation WHERE project_id = :project)"
        )
        connection.execute(text(unused), names)
        if gone:
            connection.execute(
                text(
                    "DELETE FROM embedding WHERE project_id = :project AND NOT EXISTS"
                    " (SELECT 1 FROM chunk c WHERE c.project_id = :project AND c.digest = embedding.digest)"
                ),
                names,
            )


def chunk_columns(chunk: NewChunk) -> dict[str, Any]:
    return {
        "start": chunk.start,
        "end": chunk.end,
        "page": chunk.page,
        "digest": chunk.digest,
        "heading": msgspec.json.encode(chunk.heading).decode(),
        "text": chunk.text,
        "terms": chunk.terms,
    }


def published(connection: Connection, project_id: str) -> Published:
    row = connection.execute(
        text(
            "SELECT p.number, e.fingerprint, g.chunks FROM published p"
            " JOIN generation g ON g.project_id = p.project_id AND"
            " g.number = p.number JOIN embedder e ON e.id = g.embedder_id WHERE p.project_id = :project"
        ),
        {"project": project_id},
    ).one_or_none()
    return Published(*row) if row else Published(0, "", 0)


def embedder_id(connection: Connection, keys: Mapping[str, str]) -> int | None:
    """The row of an embedder, by `project` and `fingerprint`."""
    value: int | None = connection.execute(
        text("SELECT id FROM embedder WHERE project_id = :project AND fingerprint = :fingerprint"), dict(keys)
    ).scalar()
    return value


def batches(items: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    return (items[start : start + size] for start in range(0, len(items), size))
