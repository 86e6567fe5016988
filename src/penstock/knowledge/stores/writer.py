"""The statements of a run, each for many rows: inside one transaction of the store's writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from penstock.knowledge.stores.seals import checksum
from penstock.knowledge.stores.writes import Batch, CopiedDocument, Header, NewChunk, NewDocument, Pending
from penstock.storage.bulk import BulkInsert

HEADER = Header.__struct_fields__
CHUNK = NewChunk.__struct_fields__
PASSAGE = ", ".join(f'c."{name}"' for name in CHUNK)
CHUNK_COLUMNS = ", ".join(f'"{name}"' for name in CHUNK)


class BatchWriter:
    """Writes the batches of one project. Statements are made once."""

    def __init__(self, project_id: str) -> None:
        self._project = project_id
        self._documents = BulkInsert("document", ("row", "project_id", "added_in", "inode", *HEADER))
        self._texts = BulkInsert("document_text", ("document_row", "project_id", "marks", "text"))
        self._chunks = BulkInsert("chunk", ("row", "id", "project_id", "document_row", "added_in", *CHUNK))
        self._vectors = BulkInsert(
            "embedding", ("project_id", "embedder_id", "digest", "vector", "checksum"), ignore_known=True
        )

    def write(self, connection: Connection, pending: Pending, batch: Batch) -> None:
        """Writes documents with all that is theirs, in place of those that they replace."""
        written: list[NewDocument | CopiedDocument] = [*batch.documents, *batch.copies]
        self.vectors(connection, pending, batch.vectors)
        retire(connection, pending, [each.replaces for each in written if each.replaces is not None])
        first = reserve(connection, "document", len(written))
        self._insert_documents(connection, pending, written, first)
        self._insert_content(connection, pending, batch.documents, first)
        self._copy_content(connection, pending, batch.copies, first + len(batch.documents))
        touch(connection, [msgspec.structs.astuple(each) for each in batch.touched])

    def vectors(self, connection: Connection, pending: Pending, vectors: Mapping[bytes, bytes]) -> None:
        """Adds vectors by the digest of what was embedded."""
        rows = [
            (self._project, pending.embedder_id, bytearray(digest), bytearray(vector), checksum(vector))
            for digest, vector in vectors.items()
        ]
        self._vectors(connection, rows)

    def _insert_documents(
        self,
        connection: Connection,
        pending: Pending,
        written: Sequence[NewDocument | CopiedDocument],
        first: int,
    ) -> None:
        rows = [
            (row, self._project, pending.number, 0, *(getattr(each.header, name) for name in HEADER))
            for row, each in enumerate(written, first)
        ]
        self._documents(connection, rows)

    def _insert_content(
        self, connection: Connection, pending: Pending, documents: Sequence[NewDocument], first: int
    ) -> None:
        texts = [
            (row, self._project, bytearray(document.marks), document.text)
            for row, document in enumerate(documents, first)
        ]
        self._texts(connection, texts)
        row = reserve(connection, "chunk", sum(len(document.chunks) for document in documents))
        chunks = []
        for document_row, document in enumerate(documents, first):
            prefix = chunk_prefix(document.header.id)
            for number, chunk in enumerate(document.chunks):
                fields = msgspec.structs.astuple(chunk)
                chunks.append((row, f"{prefix}_{number}", self._project, document_row, pending.number, *fields))
                row += 1
        self._chunks(connection, chunks)

    def _copy_content(
        self, connection: Connection, pending: Pending, copies: Sequence[CopiedDocument], first: int
    ) -> None:
        """Gives documents the texts and passages of others, which stay as long as this generation is pending."""
        if not copies:
            return
        total = sum(copy.header.chunks for copy in copies)
        names = {
            "project": self._project,
            "number": pending.number,
            "chunk": reserve(connection, "chunk", total),
            "copies": msgspec.json.encode(
                [[row, copy.of, chunk_prefix(copy.header.id)] for row, copy in enumerate(copies, first)]
            ).decode(),
        }
        mapping = (
            "WITH copy AS MATERIALIZED (SELECT json_extract(value, '$[0]') AS row,"
            " json_extract(value, '$[1]') AS of, json_extract(value, '$[2]') AS prefix FROM json_each(:copies))"
        )
        connection.execute(
            text(
                "INSERT INTO document_text (document_row, project_id, marks, text)"  # noqa: S608
                f" {mapping} SELECT copy.row, :project, t.marks, t.text"
                " FROM copy CROSS JOIN document_text t ON t.document_row = copy.of"
            ),
            names,
        )
        connection.execute(
            text(
                f"INSERT INTO chunk (row, id, project_id, document_row, added_in, {CHUNK_COLUMNS}) {mapping}"  # noqa: S608
                " SELECT :chunk - 1 + row_number() OVER (ORDER BY copy.row, c.row),"
                " copy.prefix || substr(c.id, length(copy.prefix) + 1), :project, copy.row, :number,"
                f" {PASSAGE} FROM copy CROSS JOIN chunk c ON c.document_row = copy.of"
            ),
            names,
        )


def chunk_prefix(document_id: str) -> str:
    """What the ids of a document's passages begin with."""
    return f"chk_{document_id.partition('_')[2]}"


def reserve(connection: Connection, table: str, count: int) -> int:
    """The first of so many row numbers that no row has had before."""
    last: int = connection.execute(
        text("UPDATE last_row SET row = row + :count WHERE name = :name RETURNING row"),
        {"count": count, "name": table},
    ).scalar_one()
    return last - count + 1


def retire(connection: Connection, pending: Pending, rows: Sequence[int]) -> None:
    """Ends documents with a generation; one that was never published leaves no trace."""
    if not rows:
        return
    names = {"rows": msgspec.json.encode(list(rows)).decode(), "number": pending.number}
    given = "(SELECT value FROM json_each(:rows))"
    for statement in (
        f"DELETE FROM chunk WHERE document_row IN {given} AND added_in = :number",  # noqa: S608
        f"DELETE FROM document WHERE row IN {given} AND added_in = :number",  # noqa: S608
        f"UPDATE chunk SET removed_in = :number WHERE document_row IN {given}",  # noqa: S608
        f"UPDATE document SET removed_in = :number WHERE row IN {given}",  # noqa: S608
    ):
        connection.execute(text(statement), names)


def touch(connection: Connection, touched: Sequence[tuple[Any, ...]]) -> None:
    """Notes what tells documents from their earlier selves now, their content being what it was."""
    if not touched:
        return
    connection.execute(
        text(
            "UPDATE document SET version = json_extract(t.value, '$[1]'), size = json_extract(t.value, '$[2]'),"
            " mtime_ns = json_extract(t.value, '$[3]'), inode = 0"
            " FROM json_each(:touched) AS t WHERE document.row = json_extract(t.value, '$[0]')"
        ),
        {"touched": msgspec.json.encode(touched).decode()},
    )
