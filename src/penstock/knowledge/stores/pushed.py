"""The table of documents that were sent through the API."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import text

from penstock.knowledge.filters import Metadata
from penstock.storage.database import Database

COLUMNS = "key, kind, title, url, metadata, readers, digest, size, pushed_at"


class PushedRow(Struct, frozen=True, kw_only=True):
    """A document without its content. `digest` is SHA-256 in hex, `pushed_at` UTC microseconds."""

    key: str
    kind: str
    title: str
    url: str
    metadata: Metadata
    readers: tuple[str, ...]
    digest: str
    size: int
    pushed_at: int


class PushedStore:
    """What was pushed to one project's knowledge. Methods raise `StorageFull` or `StorageError`."""

    def __init__(self, database: Database, project_id: str) -> None:
        self._database = database
        self._project = project_id

    async def put(self, documents: Sequence[tuple[PushedRow, bytes]]) -> None:
        """Keeps documents with their contents, each in place of an earlier one of its key, all of them or none."""
        rows = [
            {
                **msgspec.structs.asdict(row),
                "metadata": msgspec.json.encode(row.metadata).decode(),
                "readers": msgspec.json.encode(row.readers).decode(),
                "project": self._project,
                "data": data,
            }
            for row, data in documents
        ]
        statement = text(
            f"INSERT INTO pushed (project_id, {COLUMNS}, data) VALUES (:project, :key, :kind, :title, :url,"  # noqa: S608
            " :metadata, :readers, :digest, :size, :pushed_at, :data) ON CONFLICT (project_id, key) DO UPDATE SET"
            " kind = excluded.kind, title = excluded.title, url = excluded.url, metadata = excluded.metadata,"
            " readers = excluded.readers, digest = excluded.digest, size = excluded.size,"
            " pushed_at = excluded.pushed_at, data = excluded.data"
        )
        await self._database.write(lambda connection: connection.execute(statement, rows).rowcount)

    async def delete(self, key: str) -> None:
        statement = text("DELETE FROM pushed WHERE project_id = :project AND key = :key")
        names = {"project": self._project, "key": key}
        await self._database.write(lambda connection: connection.execute(statement, names).rowcount)

    def rows(self) -> list[PushedRow]:
        """All of them, by key."""
        query = text(f"SELECT {COLUMNS} FROM pushed WHERE project_id = :project ORDER BY key")  # noqa: S608
        with self._database.read() as connection:
            return [
                PushedRow(
                    **{
                        **row._mapping,
                        "metadata": msgspec.json.decode(row.metadata, type=Metadata),
                        "readers": msgspec.json.decode(row.readers, type=tuple[str, ...]),
                    }
                )
                for row in connection.execute(query, {"project": self._project})
            ]

    def data(self, key: str) -> bytes | None:
        """The content of one; `None` where it is gone."""
        query = text("SELECT data FROM pushed WHERE project_id = :project AND key = :key")
        with self._database.read() as connection:
            found: bytes | None = connection.execute(query, {"project": self._project, "key": key}).scalar()
            return found
