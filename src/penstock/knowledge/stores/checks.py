"""What a store holds, held against itself: seals, passages, full-text rows, vectors and generations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, Literal, TypeVar

from msgspec import Struct
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from penstock.knowledge.stores.publishing import newest, published
from penstock.knowledge.stores.reader import VISIBLE
from penstock.knowledge.stores.seals import body_of_rows, checksum, header_of
from penstock.knowledge.stores.writer import HEADER, PASSAGE
from penstock.knowledge.stores.writes import Header

T = TypeVar("T")
Part = Literal["document", "words", "vector", "generation", "sidecar", "left over", "elsewhere"]
FLOAT_BYTES = 4
STEP = 100
"""Rows between two notes of how far a check is."""


class Checking(Struct, frozen=True):
    """Where a check is: `done` of `total` documents, vectors, passages elsewhere or files to read again; both 0
    where that is not known. `waiting` is for a run to end."""

    part: Literal["waiting", "words", "documents", "vectors", "elsewhere", "repair"]
    done: int = 0
    total: int = 0


Tell = Callable[[Checking], None]


class Difference(Struct, frozen=True):
    """One thing that is not what was written. `subject` names the document, the passage or the generation; `row`
    is that of the document, the passage or the vector, and the number of a generation."""

    part: Part
    subject: str
    reason: str
    row: int = 0


def differences(connection: Connection, project_id: str, tell: Tell) -> list[Difference]:
    """Everything in the tables of a project that is not what was written, but for the words. Reads it once."""
    return [
        *documents(connection, project_id, tell),
        *left_over(connection, project_id),
        *vectors(connection, project_id, tell),
        *generations(connection, project_id),
    ]


def size(connection: Connection, project_id: str, table: Literal["document", "embedding", "chunk"]) -> int:
    """How many rows of a project a table has."""
    count = text(f"SELECT count(*) FROM {table} WHERE project_id = :project")  # noqa: S608
    return int(connection.execute(count, {"project": project_id}).scalar_one())


def watched(rows: Iterable[T], at: Checking, tell: Tell) -> Iterator[T]:
    """The rows, while it is told how far they are."""
    for done, row in enumerate(rows):
        if done % STEP == 0:
            tell(Checking(at.part, done, at.total))
        yield row


def documents(connection: Connection, project_id: str, tell: Tell) -> Iterator[Difference]:
    """Documents whose text, passages or description changed. Those of versions without seals cannot be told."""
    names = {"project": project_id}
    passages = connection.execute(
        text(
            "SELECT c.document_row, c.added_in, c.removed_in,"  # noqa: S608
            f" {PASSAGE} FROM chunk c WHERE c.project_id = :project"
            " ORDER BY c.document_row, c.row"
        ),
        names,
    )
    groups = groupby(passages, key=lambda row: row[0])
    group = next(groups, None)
    last = newest(connection, project_id)
    rows = connection.execute(
        text(
            "SELECT d.row, d.added_in, d.removed_in, t.marks, t.text,"  # noqa: S608
            f" {', '.join(f'd.{name}' for name in HEADER)} FROM document d"
            " LEFT JOIN document_text t ON t.document_row = d.row WHERE d.project_id = :project ORDER BY d.row"
        ),
        names,
    )
    at = Checking("documents", total=size(connection, project_id, "document"))
    for row, added_in, removed_in, marks, body, *fields in watched(rows, at, tell):
        while group is not None and group[0] < row:
            group = next(groups, None)
        own: list[Any] = list(group[1]) if group is not None and group[0] == row else []
        header = Header(**dict(zip(HEADER, fields, strict=True)))
        if not header.seal:
            continue
        reason = ""
        if marks is None or header.body != body_of_rows(marks, body, (each[3:] for each in own)):
            reason = "its text or its passages are not what was written"
        elif header.seal != header_of(header):
            reason = "its description is not what was written"
        elif added_in > last + 1 or any((each[1], each[2]) != (added_in, removed_in) for each in own):
            reason = "it and its passages are not of the same generations"
        if reason:
            yield Difference("document", f"{header.source}: {header.path}", reason, row)


def left_over(connection: Connection, project_id: str) -> Iterator[Difference]:
    """Rows that belong to nothing."""
    for table, column, owner in (
        ("document_text", "document_row", "document"),
        ("chunk", "document_row", "document"),
    ):
        count = connection.execute(
            text(
                f"SELECT count(*) FROM {table} WHERE project_id = :project"  # noqa: S608
                f" AND {column} NOT IN (SELECT row FROM {owner})"
            ),
            {"project": project_id},
        ).scalar_one()
        if count:
            yield Difference("left over", table, f"{count:,} rows are of documents that are gone")


def vectors(connection: Connection, project_id: str, tell: Tell) -> Iterator[Difference]:
    """Vectors that are not what was written, and passages without one."""
    names = {"project": project_id}
    rows = connection.execute(
        text(
            "SELECT e.row, e.vector, e.checksum, m.dimensions, m.name FROM embedding e"
            " JOIN embedder m ON m.id = e.embedder_id WHERE e.project_id = :project"
        ),
        names,
    )
    at = Checking("vectors", total=size(connection, project_id, "embedding"))
    for row, vector, written, dimensions, name in watched(rows, at, tell):
        if not isinstance(vector, bytes) or len(vector) != FLOAT_BYTES * dimensions:
            yield Difference("vector", name, f"vector {row} has not {dimensions} values", row)
        elif written is not None and written != checksum(vector):
            yield Difference("vector", name, f"vector {row} is not what was written", row)
    bare = connection.execute(
        text(
            "SELECT g.number, count(*) FROM generation g JOIN chunk c ON c.project_id = g.project_id"
            " AND c.added_in <= g.number AND (c.removed_in IS NULL OR c.removed_in > g.number)"
            " WHERE g.project_id = :project AND NOT EXISTS (SELECT 1 FROM embedding e"
            "  WHERE e.project_id = g.project_id AND e.embedder_id = g.embedder_id AND e.digest = c.digest)"
            " GROUP BY g.number ORDER BY g.number"
        ),
        names,
    )
    for number, count in bare:
        yield Difference("vector", f"generation {number}", f"{count:,} passages have no vector")


def generations(connection: Connection, project_id: str) -> Iterator[Difference]:
    """Generations that show more or less than they were made with, and a pointer to none."""
    names = {"project": project_id}
    shown = "(SELECT count(*) FROM {0} x WHERE x.project_id = g.project_id AND {1})"
    visible = VISIBLE.format("x").replace(":number", "g.number")
    rows = connection.execute(
        text(
            f"SELECT g.number, g.documents, g.chunks, {shown.format('document', visible)},"  # noqa: S608
            f" {shown.format('chunk', visible)} FROM generation g WHERE g.project_id = :project ORDER BY g.number"
        ),
        names,
    )
    for number, documents, chunks, documents_now, chunks_now in rows:
        if (documents, chunks) != (documents_now, chunks_now):
            reason = (
                f"it was made with {documents:,} documents and {chunks:,} passages, and shows {documents_now:,} and"
                f" {chunks_now:,}"
            )
            yield Difference("generation", f"generation {number}", reason, number)
    if not published(connection, project_id).number and newest(connection, project_id):
        yield Difference("generation", "the published one", "it is not kept")


def words(connection: Connection) -> Iterator[Difference]:
    """Full-text rows that are missing, left over, or of other words than their passage.

    SQLite compares the words as a write, so the connection is to be a writer's.
    """
    queries = {
        "has no full-text row": "SELECT row FROM chunk WHERE row NOT IN (SELECT id FROM chunk_fts_docsize)",
        "is gone, and its full-text row is not": "SELECT id FROM chunk_fts_docsize WHERE id NOT IN"
        " (SELECT row FROM chunk)",
    }
    found = False
    for reason, query in queries.items():
        for (row,) in connection.execute(text(query)):
            found = True
            yield Difference("words", f"passage {row}", reason, row)
    if found:
        return
    try:
        connection.execute(text("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)"))
    except DBAPIError as error:
        if "malformed" not in str(error.orig):
            raise
        yield Difference("words", "the full-text index", "it is not of the words of its passages")
