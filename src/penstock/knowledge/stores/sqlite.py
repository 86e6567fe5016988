"""The write side of the embedded store: the ledger of documents, generations, passages and vectors.

A run writes everything under the number after the newest generation, many documents in one transaction, and makes
the generation at its end. What a killed run wrote under that number is found again by the next, which goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Connection, bindparam, text

from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.stores.publishing import embedder_id, generation, newest, publish, published
from penstock.knowledge.stores.records import ChunkInput, Published
from penstock.knowledge.stores.writer import HEADER, BatchWriter, retire
from penstock.knowledge.stores.writes import Batch, Closing, Header, Known, LedgerRow, Pending
from penstock.seams import Embedder
from penstock.storage.sqlite import SqliteDatabase

SCHEMA = "knowledge"
Wanted = Literal["all", "live", "new"]
MAX_PARAMETERS = 500
LEDGER = LedgerRow.__struct_fields__


class SqliteStore:
    """The documents of one project in one file. Reading for answers is in `SqliteReader`."""

    def __init__(self, path: Path, project_id: str = LOCAL_PROJECT) -> None:
        self.project_id = project_id
        self.path = path
        self.database = SqliteDatabase(path, SCHEMA)
        self._writer = BatchWriter(project_id)

    def close(self) -> None:
        self.database.close()

    def published(self) -> Published:
        """The generation that readers see."""
        with self.database.read() as connection:
            return published(connection, self.project_id)

    def newest(self) -> Published:
        """The generation that the last run made, wherever readers are."""
        with self.database.read() as connection:
            return generation(connection, self.project_id, newest(connection, self.project_id))

    def ledger(self, source: str) -> dict[str, LedgerRow]:
        """Every live document of a source by its key, those of an unfinished run included."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    f"SELECT path, {', '.join(LEDGER)} FROM document"  # noqa: S608
                    " WHERE project_id = :project AND source = :source AND removed_in IS NULL"
                ),
                {"project": self.project_id, "source": source},
            )
            return {path: LedgerRow(**dict(zip(LEDGER, fields, strict=True))) for path, *fields in rows}

    def sources(self) -> frozenset[str]:
        """The sources of all live documents, those of an unfinished run included."""
        with self.database.read() as connection:
            names = connection.execute(
                text("SELECT DISTINCT source FROM document WHERE project_id = :project AND removed_in IS NULL"),
                {"project": self.project_id},
            )
            return frozenset(names.scalars())

    def cursor(self, source: str) -> bytes:
        """How far the listing of a source was when the newest generation was made."""
        with self.database.read() as connection:
            found: bytes | None = connection.execute(
                text("SELECT cursor FROM source_cursor WHERE project_id = :project AND source = :source"),
                {"project": self.project_id, "source": source},
            ).scalar()
            return found or b""

    async def begin(self, embedder: Embedder) -> Pending:
        """The generation after the newest one, for vectors of this embedder."""
        keys = {"project": self.project_id, "fingerprint": embedder.fingerprint}

        def work(connection: Connection) -> Pending:
            connection.execute(
                text(
                    "INSERT INTO embedder (project_id, fingerprint, name, dimensions)"
                    " VALUES (:project, :fingerprint, :name, :dimensions) ON CONFLICT DO NOTHING"
                ),
                {**keys, "name": embedder.name, "dimensions": embedder.dimensions},
            )
            return Pending(newest(connection, self.project_id) + 1, embedder_id(connection, keys) or 0)

        return await self.database.write(work)

    def known(self, pending: Pending, digests: Sequence[str]) -> list[Known]:
        """Documents of earlier generations with these digests: whatever their path, their content can be shared."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    f"SELECT d.row, t.marks, {', '.join(f'd.{name}' for name in HEADER)} FROM document d"  # noqa: S608
                    " JOIN document_text t ON t.document_row = d.row WHERE d.project_id = :project"
                    " AND d.digest IN (SELECT value FROM json_each(:digests)) AND d.added_in < :number"
                    " AND length(d.seal) > 0 ORDER BY d.row"
                ),
                {
                    "project": self.project_id,
                    "digests": msgspec.json.encode(list(digests)).decode(),
                    "number": pending.number,
                },
            )
            return [
                Known(row, Header(**dict(zip(HEADER, fields, strict=True))), marks) for row, marks, *fields in rows
            ]

    def cached_vectors(self, pending: Pending, digests: Sequence[bytes]) -> frozenset[bytes]:
        """Those digests of which the vectors were computed before."""
        found: set[bytes] = set()
        query = text(
            "SELECT digest FROM embedding WHERE project_id = :project AND embedder_id = :embedder"
            " AND digest IN :digests"
        ).bindparams(bindparam("digests", expanding=True))
        names = {"project": self.project_id, "embedder": pending.embedder_id}
        with self.database.read() as connection:
            for start in range(0, len(digests), MAX_PARAMETERS):
                part = list(digests[start : start + MAX_PARAMETERS])
                found.update(connection.execute(query, {**names, "digests": part}).scalars())
        return frozenset(found)

    async def keep_vectors(self, pending: Pending, vectors: Mapping[bytes, bytes]) -> None:
        """Writes vectors ahead of their documents, so that a long one is not embedded twice after a crash."""
        await self.database.write(lambda connection: self._writer.vectors(connection, pending, vectors))

    async def write(self, pending: Pending, batch: Batch) -> None:
        """Writes many documents with their passages, full-text rows and vectors in one transaction."""
        await self.database.write(lambda connection: self._writer.write(connection, pending, batch))

    async def remove(self, pending: Pending, rows: Sequence[int]) -> None:
        """Takes documents out of the pending generation; earlier ones still show them."""
        await self.database.write(lambda connection: retire(connection, pending, rows))

    def chunks_without_vector(self, pending: Pending, which: Wanted, after: int, limit: int) -> list[ChunkInput]:
        """Passages behind row `after` that this generation's embedder has not seen, by row: of all, of the live
        ones, or of the new ones."""
        # A plus keeps SQLite from an index by which it would have to sort: by row, it stops when it has enough.
        among = {
            "all": "+c.project_id = :project",
            "live": "+c.project_id = :project AND c.removed_in IS NULL",
            "new": "c.project_id = :project AND c.added_in = :number AND c.removed_in IS NULL",
        }
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT c.row, c.heading, c.text, c.digest FROM chunk c"  # noqa: S608
                    f" WHERE {among[which]} AND c.row > :after"
                    " AND NOT EXISTS (SELECT 1 FROM embedding e"
                    "  WHERE e.project_id = c.project_id AND e.embedder_id = :embedder AND e.digest = c.digest)"
                    " ORDER BY c.row LIMIT :limit"
                ),
                {
                    "project": self.project_id,
                    "embedder": pending.embedder_id,
                    "after": after,
                    "limit": limit,
                    "number": pending.number,
                },
            )
            return [
                ChunkInput(row, msgspec.json.decode(heading, type=tuple[str, ...]), body, digest)
                for row, heading, body, digest in rows
            ]

    async def publish(self, pending: Pending, closing: Closing) -> int:
        """Makes the pending generation if it differs from the newest one, and returns the newest one's number.

        Readers follow, unless they are kept at an earlier one. Generations older than the last `closing.keep` go,
        with what only they showed. Raises `StorageError` where a passage lacks its vector.
        """
        return await self.database.write(lambda connection: publish(connection, self.project_id, pending, closing))
