"""The read side of the embedded store: everything that answers a question or fills a page."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from penstock.errors import NotFound
from penstock.knowledge.filters import Metadata, matches
from penstock.knowledge.stores.records import UPLOADS, Published, StoredChunk
from penstock.knowledge.values import Document, DocumentRow, Heading, KnowledgeCounts, Reader, Scope

VISIBLE = "{0}.added_in <= :number AND ({0}.removed_in IS NULL OR {0}.removed_in > :number)"
ROW_COLUMNS = (
    "d.id, d.path, d.title, d.kind, d.status, d.reason, d.source, d.size, d.characters, d.pages, d.chunks,"
    " d.mtime_ns, d.loaded_at, d.url, d.parser, d.metadata, d.readers, d.added_in, d.removed_in"
)
PUBLISHED = (
    "SELECT g.number, e.fingerprint, g.chunks FROM published p JOIN generation g ON g.project_id = p.project_id"
    " AND g.number = coalesce(p.configured, p.number) JOIN embedder e ON e.id = g.embedder_id"
    " WHERE p.project_id = :project"
)
GENERATION = (
    "SELECT g.number, e.fingerprint, g.chunks FROM generation g JOIN embedder e ON e.id = g.embedder_id"
    " WHERE g.project_id = :project AND g.number = :number"
)
# A plus before a column keeps SQLite from choosing that column's index over the row ids that it is given, and
# CROSS JOIN from beginning with anything else.
IN_SCOPE = (
    "SELECT c.row, d.row, d.metadata FROM json_each(:rows) AS wanted"  # noqa: S608
    " CROSS JOIN chunk c ON c.row = wanted.value JOIN document d ON d.row = c.document_row"
    f" WHERE +c.project_id = :project AND {VISIBLE.format('c')}"
)
CHUNKS = (
    'SELECT c.row, c.id, d.id, d.path, d.title, c.heading, c.page, c.start, c."end", c.text, c.location,'
    " c.parent_start, c.parent_end, d.url, d.metadata FROM json_each(:rows) AS wanted"
    " CROSS JOIN chunk c ON c.row = wanted.value JOIN document d ON d.row = c.document_row"
    " WHERE +c.project_id = :project"
)

HEADING = msgspec.json.Decoder(tuple[str, ...])
METADATA = msgspec.json.Decoder(dict[str, str | int | float | bool | tuple[str, ...]])


class Marks(msgspec.Struct, frozen=True):
    """Where a document's headings and pages are, and what it says of itself, as stored beside its text."""

    headings: tuple[Heading, ...] = ()
    page_starts: tuple[int, ...] = ()
    title: str = ""
    metadata: dict[str, str | int | float | bool | tuple[str, ...]] = {}


class SqliteReader:
    """Queries of one project over one connection, which sees one consistent state."""

    def __init__(self, connection: Connection, project_id: str) -> None:
        self._connection = connection
        self._project = project_id

    def published(self) -> Published:
        """The generation that readers see."""
        found = self._rows(PUBLISHED, {"project": self._project})
        return Published(*found[0]) if found else Published(0, "", 0)

    def generation(self, number: int) -> Published:
        """A generation that is still kept. Raises `NotFound`."""
        found = self._rows(GENERATION, {"project": self._project, "number": number})
        if not found:
            raise NotFound(
                f"Generation {number} of the knowledge is not kept.",
                hint="Leave the generation out to search the newest one.",
            )
        return Published(*found[0])

    def term_count(self, phrase: str) -> int:
        """In how many passages a phrase is; those of other generations count, too, which costs nothing."""
        count = "SELECT count(*) FROM chunk_fts WHERE chunk_fts MATCH :phrase"
        return int(self._rows(count, {"phrase": phrase})[0][0])

    def rows_with(self, phrase: str) -> NDArray[np.int64]:
        """The passages with a phrase, whatever their generation and whoever may find them.

        One text of all their numbers is ten times as fast as a row for each.
        """
        rows = "SELECT group_concat(rowid) FROM chunk_fts WHERE chunk_fts MATCH :phrase"
        found: str | None = self._rows(rows, {"phrase": phrase})[0][0]
        return np.fromstring(found, sep=",", dtype=np.int64) if found else np.empty(0, dtype=np.int64)

    def in_scope(self, rows: Sequence[int] | NDArray[np.int64], scope: Scope) -> list[int]:
        """Those of these passages that a scope lets through, in no order."""
        clause, tags = for_reader(scope.reader)
        found = self._rows(
            f"{IN_SCOPE}{clause}",
            {"project": self._project, "number": scope.generation, "rows": encoded(rows), **tags},
        )
        if scope.filter is None:
            return [row for row, _, _ in found]
        verdicts: dict[int, bool] = {}
        kept = []
        for row, document, metadata in found:
            if document not in verdicts:
                verdicts[document] = matches(scope.filter, decode_metadata(metadata))
            if verdicts[document]:
                kept.append(row)
        return kept

    def average_characters(self, generation: Published) -> float:
        """How long a passage of a generation is, 0 where there is none."""
        characters = self._connection.execute(
            text(
                "SELECT sum(d.characters) FROM document d WHERE d.project_id = :project"  # noqa: S608
                f" AND {VISIBLE.format('d')}"
            ),
            {"project": self._project, "number": generation.number},
        ).scalar_one()
        return (characters or 0) / generation.chunks if generation.chunks else 0.0

    def chunks(self, rows: Sequence[int] | NDArray[np.int64]) -> dict[int, StoredChunk]:
        """Passages by row; one that was purged meanwhile is not there."""
        found = self._rows(CHUNKS, {"project": self._project, "rows": encoded(rows)})
        return {row[0]: stored_chunk(row) for row in found}

    def vectors_of(self, chunk_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of passages by id, of the embedder of the newest generation that has them."""
        found = self._connection.execute(
            text(
                "SELECT c.id, e.vector FROM json_each(:ids) AS wanted JOIN chunk c ON c.id = wanted.value"
                " JOIN embedding e ON e.project_id = c.project_id AND e.digest = c.digest"
                " WHERE c.project_id = :project ORDER BY e.embedder_id"
            ),
            {"project": self._project, "ids": msgspec.json.encode(chunk_ids).decode()},
        )
        return {chunk_id: np.frombuffer(vector, dtype="<f4") for chunk_id, vector in found}

    def around(self, chunk_id: str, count: int, number: int) -> tuple[int, int] | None:
        """Where the `count` passages before and after one begin and end in their document; `None` where it was
        purged meanwhile."""
        before, after = (
            text(
                f'SELECT {outermost} FROM (SELECT n.start, n."end" AS last FROM chunk c JOIN chunk n'  # noqa: S608
                f" ON n.document_row = c.document_row AND n.row {compared} c.row WHERE c.project_id = :project"
                f" AND c.id = :id AND {VISIBLE.format('n')} ORDER BY n.row {order} LIMIT :limit)"
            )
            for outermost, compared, order in (("min(start)", "<=", "DESC"), ("max(last)", ">=", "ASC"))
        )
        keys = {"project": self._project, "id": chunk_id, "number": number, "limit": count + 1}
        first = self._connection.execute(before, keys).scalar_one()
        last = self._connection.execute(after, keys).scalar_one()
        return None if first is None else (int(first), int(last))

    def sibling_at(self, chunk_id: str, position: int) -> tuple[str, int | None, str] | None:
        """The id, page and location of the passage that holds a character, among those of the same parent."""
        found = self._connection.execute(
            text(
                "SELECT n.id, n.page, n.location FROM chunk c JOIN chunk n ON n.document_row = c.document_row"
                " AND n.parent_start = c.parent_start AND n.parent_end = c.parent_end"
                " WHERE c.project_id = :project AND c.id = :id AND n.start <= :position"
                " ORDER BY n.start DESC LIMIT 1"
            ),
            {"project": self._project, "id": chunk_id, "position": position},
        ).one_or_none()
        return None if found is None else tuple(found)

    def documents(self, number: int, reader: Reader) -> list[DocumentRow]:
        """The documents of a generation that a reader may find, by path."""
        clause, tags = for_reader(reader)
        rows = self._connection.execute(
            text(
                f"SELECT {ROW_COLUMNS} FROM document d WHERE d.project_id = :project AND"  # noqa: S608
                f" {VISIBLE.format('d')}{clause} ORDER BY d.path, d.source"
            ),
            {"project": self._project, "number": number, **tags},
        )
        return [document_row(row) for row in rows]

    def document(self, document_id: str, reader: Reader) -> Document:
        """A document of any generation that is kept, so that citations of old answers open. Raises `NotFound`."""
        clause, tags = for_reader(reader)
        row = self._connection.execute(
            text(
                f"SELECT {ROW_COLUMNS}, t.text, t.marks FROM document d JOIN document_text t"  # noqa: S608
                f" ON t.document_row = d.row WHERE d.project_id = :project AND d.id = :id{clause}"
            ),
            {"project": self._project, "id": document_id, **tags},
        ).one_or_none()
        if row is None:
            raise NotFound(
                f"There is no document {document_id[:80]!r} in this knowledge base.",
                hint="It may have changed or gone since; search again for its present text.",
            )
        marks = msgspec.msgpack.decode(row.marks, type=Marks)
        return Document(
            row=document_row(row), text=row.text, headings=marks.headings, page_starts=marks.page_starts
        )

    def text_between(self, document_id: str, start: int, end: int, reader: Reader) -> str:
        """Characters `start` to `end` of a document's text; "" where there is no such document for the reader."""
        clause, tags = for_reader(reader)
        found = self._connection.execute(
            text(
                "SELECT substr(t.text, :start + 1, :length) FROM document d JOIN document_text t"  # noqa: S608
                f" ON t.document_row = d.row WHERE d.project_id = :project AND d.id = :id{clause}"
            ),
            {"project": self._project, "id": document_id, "start": start, "length": end - start, **tags},
        ).scalar_one_or_none()
        return found or ""

    def _rows(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """What a search asks, straight from the driver: SQLAlchemy takes five times as long for it as SQLite."""
        if not self._connection.in_transaction():
            self._connection.begin()
        driver: sqlite3.Connection = self._connection.connection.driver_connection  # type: ignore[assignment]
        return driver.execute(statement, values).fetchall()

    def counts(self, number: int, reader: Reader) -> KnowledgeCounts:
        """What a generation holds for a reader."""
        clause, tags = for_reader(reader)
        found = self._connection.execute(
            text(
                "SELECT d.status, count(*), sum(d.chunks), sum(d.characters), sum(d.size), min(d.loaded_at),"  # noqa: S608
                " max(d.loaded_at) FROM document d"
                f" WHERE d.project_id = :project AND {VISIBLE.format('d')}{clause}"
                " GROUP BY d.status ORDER BY d.status"
            ),
            {"project": self._project, "number": number, **tags},
        ).all()
        return KnowledgeCounts(
            generation=number,
            documents=sum(row[1] for row in found),
            chunks=sum(row[2] for row in found),
            characters=sum(row[3] for row in found),
            statuses={row.status: row[1] for row in found},
            bytes=sum(row[4] for row in found),
            first_loaded_at=min((row[5] for row in found), default=0),
            last_loaded_at=max((row[6] for row in found), default=0),
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
        source=row.source,
        url=row.url,
        parser=row.parser,
        metadata=decode_metadata(row.metadata),
        readers=msgspec.json.decode(row.readers, type=tuple[str, ...]),
        added_in=row.added_in,
        removed_in=row.removed_in,
    )


def stored_chunk(fields: tuple[Any, ...]) -> StoredChunk:
    """From a row of `CHUNKS`."""
    row, chunk_id, document_id, path, title, heading, page, start, end, body = fields[:10]
    location, parent_start, parent_end, url, metadata = fields[10:]
    return StoredChunk(
        row=row,
        id=chunk_id,
        document_id=document_id,
        document=path,
        title=title,
        heading=HEADING.decode(heading),
        page=page,
        start=start,
        end=end,
        text=body,
        location=location,
        parent=None if parent_start is None else (parent_start, parent_end),
        url=url,
        metadata=decode_metadata(metadata),
    )


def decode_metadata(stored: str) -> Metadata:
    return METADATA.decode(stored)


def encoded(rows: Sequence[int] | NDArray[np.int64]) -> str:
    """Row numbers as JSON: SQLite takes any number of them as one parameter."""
    return msgspec.json.encode(np.asarray(rows).tolist()).decode()


def for_reader(reader: Reader) -> tuple[str, dict[str, str]]:
    """What lets a reader's documents through, as SQL behind `WHERE …` over `document d`, and its parameters."""
    if reader.tags is None:
        return "", {}
    clause = (
        " AND (d.readers = '[]' OR EXISTS"
        " (SELECT 1 FROM json_each(d.readers) AS own JOIN json_each(:tags) AS shown ON own.value = shown.value))"
    )
    return clause, {"tags": msgspec.json.encode(reader.tags).decode()}
