"""The read side of the embedded store: everything that answers a question or fills a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Row, bindparam, text

from penstock.errors import NotFound
from penstock.knowledge.stores.records import UPLOADS, Published, StoredChunk, VectorRows
from penstock.knowledge.stores.sqlite import embedder_id, published
from penstock.knowledge.values import Document, DocumentRow, Heading, KnowledgeCounts

VISIBLE = "{0}.added_in <= :number AND ({0}.removed_in IS NULL OR {0}.removed_in > :number)"
ROW_COLUMNS = (
    "d.id, d.path, d.title, d.kind, d.status, d.reason, d.source, d.size, d.characters, d.pages, d.chunks,"
    " d.mtime_ns, d.loaded_at"
)


# A plus before a column keeps SQLite from choosing that column's index over the row ids that it is given.


class Marks(msgspec.Struct, frozen=True):
    """Where a document's headings and pages are, as stored beside its text."""

    headings: tuple[Heading, ...] = ()
    page_starts: tuple[int, ...] = ()


class SqliteReader:
    """Queries of one project over one connection, which sees one consistent state."""

    def __init__(self, connection: Connection, project_id: str) -> None:
        self._connection = connection
        self._project = project_id

    def published(self) -> Published:
        return published(self._connection, self._project)

    def generation(self, number: int) -> Published:
        """A generation that is still kept. Raises `NotFound`."""
        row = self._connection.execute(
            text(
                "SELECT g.number, e.fingerprint, g.chunks FROM generation g JOIN embedder e ON e.id = g.embedder_id"
                " WHERE g.project_id = :project AND g.number = :number"
            ),
            {"project": self._project, "number": number},
        ).one_or_none()
        if row is None:
            raise NotFound(
                f"Generation {number} of the knowledge is not kept.",
                hint="Leave the generation out to search the newest one.",
            )
        return Published(*row)

    def vectors(self, generation: Published, dimensions: int) -> VectorRows:
        """Every passage that a generation shows, with its vector."""
        return self._vectors(generation, dimensions, VISIBLE.format("c"), since=0)

    def vectors_since(self, generation: Published, dimensions: int, since: int) -> VectorRows:
        """The passages of a generation that came after another."""
        return self._vectors(generation, dimensions, f"c.added_in > :since AND {VISIBLE.format('c')}", since)

    def removed_since(self, number: int, since: int) -> list[int]:
        """The passages that were shown by generation `since` and are not by `number`."""
        rows = self._connection.execute(
            text(
                "SELECT row FROM chunk WHERE project_id = :project"
                " AND removed_in > :since AND removed_in <= :number"
            ),
            {"project": self._project, "since": since, "number": number},
        )
        return list(rows.scalars())

    def _vectors(self, generation: Published, dimensions: int, where: str, since: int) -> VectorRows:
        keys = {"project": self._project, "fingerprint": generation.fingerprint}
        found = self._connection.execute(
            text(
                "SELECT c.row, e.vector FROM chunk c JOIN embedding e ON e.project_id = c.project_id AND"  # noqa: S608
                " e.embedder_id = :embedder AND e.digest = c.digest"
                f" WHERE c.project_id = :project AND {where} ORDER BY c.row"
            ),
            {
                "project": self._project,
                "embedder": embedder_id(self._connection, keys),
                "number": generation.number,
                "since": since,
            },
        ).all()
        rows = np.fromiter((row for row, _ in found), dtype=np.int64, count=len(found))
        vectors = np.frombuffer(b"".join(vector for _, vector in found), dtype="<f4")
        return VectorRows(rows, vectors.reshape(len(found), dimensions))

    def term_counts(self, phrases: Sequence[str]) -> list[int]:
        """In how many passages each phrase is; those of other generations count, too, which costs nothing."""
        count = text("SELECT count(*) FROM chunk_fts WHERE chunk_fts MATCH :phrase")
        return [int(self._connection.execute(count, {"phrase": phrase}).scalar_one()) for phrase in phrases]

    def text_matches(self, number: int, match: str, limit: int) -> list[tuple[int, float]]:
        """Chunk rows and BM25 scores (higher is better) of an FTS5 expression, best first."""
        if not match:
            return []
        rows = self._connection.execute(
            text(
                "SELECT c.row, -bm25(chunk_fts) AS score FROM chunk_fts"  # noqa: S608
                " JOIN chunk c ON c.row = chunk_fts.rowid"
                f" WHERE chunk_fts MATCH :match AND +c.project_id = :project AND {VISIBLE.format('c')}"
                " ORDER BY score DESC, c.row LIMIT :limit"
            ),
            {"match": match, "project": self._project, "number": number, "limit": limit},
        )
        return [(row, score) for row, score in rows]

    def chunks(self, rows: Sequence[int]) -> dict[int, StoredChunk]:
        """Passages by row; one that was purged meanwhile is not there."""
        found = self._connection.execute(
            text(
                'SELECT c.row, c.id, d.id, d.path, d.title, c.heading, c.page, c.start, c."end", c.text'
                " FROM chunk c JOIN document d ON d.row = c.document_row WHERE +c.project_id = :project AND"
                " c.row IN :rows"
            ).bindparams(bindparam("rows", expanding=True)),
            {"project": self._project, "rows": list(rows)},
        )
        return {
            row: StoredChunk(
                row=row,
                id=chunk_id,
                document_id=document_id,
                document=path,
                title=title,
                heading=msgspec.json.decode(heading, type=tuple[str, ...]),
                page=page,
                start=start,
                end=end,
                text=body,
            )
            for row, chunk_id, document_id, path, title, heading, page, start, end, body in found
        }

    def documents(self, number: int) -> list[DocumentRow]:
        """The documents of a generation by path."""
        rows = self._connection.execute(
            text(
                f"SELECT {ROW_COLUMNS} FROM document d WHERE d.project_id = :project AND"  # noqa: S608
                f" {VISIBLE.format('d')} ORDER BY d.path, d.source"
            ),
            {"project": self._project, "number": number},
        )
        return [document_row(row) for row in rows]

    def document(self, document_id: str) -> Document:
        """A document of any generation that is kept, so that citations of old answers open. Raises `NotFound`."""
        row = self._connection.execute(
            text(
                f"SELECT {ROW_COLUMNS}, t.text, t.marks FROM document d JOIN document_text t"  # noqa: S608
                " ON t.document_row = d.row WHERE d.project_id = :project AND d.id = :id"
            ),
            {"project": self._project, "id": document_id},
        ).one_or_none()
        if row is None:
            raise NotFound(
                f"There is no document {document_id!r} in this knowledge base.",
                hint="It may have changed or gone since; search again for its present text.",
            )
        marks = msgspec.msgpack.decode(row.marks, type=Marks)
        return Document(
            row=document_row(row), text=row.text, headings=marks.headings, page_starts=marks.page_starts
        )

    def text_between(self, document_id: str, start: int, end: int) -> str:
        """Characters `start` to `end` of a document's text; "" where there is no such document."""
        found = self._connection.execute(
            text(
                "SELECT substr(t.text, :start + 1, :length) FROM document d JOIN document_text t"
                " ON t.document_row = d.row WHERE d.project_id = :project AND d.id = :id"
            ),
            {"project": self._project, "id": document_id, "start": start, "length": end - start},
        ).scalar_one_or_none()
        return found or ""

    def counts(self, number: int) -> KnowledgeCounts:
        found = self._connection.execute(
            text(
                "SELECT d.status, count(*), sum(d.chunks), sum(d.characters) FROM document d"  # noqa: S608
                f" WHERE d.project_id = :project AND {VISIBLE.format('d')} GROUP BY d.status ORDER BY d.status"
            ),
            {"project": self._project, "number": number},
        ).all()
        return KnowledgeCounts(
            generation=number,
            documents=sum(count for _, count, _, _ in found),
            chunks=sum(chunks for _, _, chunks, _ in found),
            characters=sum(characters for _, _, _, characters in found),
            statuses={status: count for status, count, _, _ in found},
        )


def document_row(row: Row[Any]) -> DocumentRow:
    return DocumentRow(
        id=row.id,
        path=row.path,
        title=row.title,
        kind=row.kind,
        status=row.status,
        reason=row.reason,
        uploaded=row.source == UPLOADS,
        size=row.size,
        characters=row.characters,
        pages=row.pages,
        chunks=row.chunks,
        modified_at=row.mtime_ns // 1000,
        loaded_at=row.loaded_at,
    )
