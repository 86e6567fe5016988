"""The table of generations, and the pointer that readers follow."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from sqlalchemy import Connection, text

from penstock.knowledge.stores.reader import VISIBLE, for_reader
from penstock.knowledge.values import Reader

Change = Literal["added", "changed", "removed"]


class Generation(Struct, frozen=True, kw_only=True):
    """A generation that is kept. `made_at` is UTC microseconds; `published` is the one that readers see, `pinned`
    where they are kept at it while runs make later ones, `configured` where the configuration does that."""

    number: int
    made_at: int
    documents: int
    chunks: int
    embedder: str
    fingerprint: str
    note: str
    published: bool
    pinned: bool
    configured: bool = False


class DocumentChange(Struct, frozen=True):
    """What became of a document between two generations; `document_id` is what it was before where it is gone."""

    change: Change
    source: str
    path: str
    document_id: str


def kept(connection: Connection, project_id: str) -> list[Generation]:
    """The generations that are kept, newest first."""
    rows = connection.execute(
        text(
            "SELECT g.number, g.published_at, g.documents, g.chunks, e.name, e.fingerprint, g.note,"
            " coalesce(p.configured, p.number) = g.number,"
            " coalesce(p.configured = g.number, p.number = g.number AND p.pinned), p.configured IS g.number"
            " FROM generation g"
            " JOIN embedder e ON e.id = g.embedder_id JOIN published p ON p.project_id = g.project_id"
            " WHERE g.project_id = :project ORDER BY g.number DESC"
        ),
        {"project": project_id},
    )
    return [
        Generation(
            number=number,
            made_at=made_at,
            documents=documents,
            chunks=chunks,
            embedder=embedder,
            fingerprint=fingerprint,
            note=note,
            published=bool(shown),
            pinned=bool(pinned),
            configured=bool(configured),
        )
        for number, made_at, documents, chunks, embedder, fingerprint, note, shown, pinned, configured in rows
    ]


def point(connection: Connection, project_id: str, number: int, *, pinned: bool) -> None:
    """Lets readers see a generation; `pinned` keeps them there."""
    connection.execute(
        text("UPDATE published SET number = :number, pinned = :pinned WHERE project_id = :project"),
        {"project": project_id, "number": number, "pinned": int(pinned)},
    )


def configure(connection: Connection, project_id: str, number: int | None) -> None:
    """Keeps readers at a generation, whatever is published, until `None` lets them see that again."""
    connection.execute(
        text("UPDATE published SET configured = :number WHERE project_id = :project"),
        {"project": project_id, "number": number},
    )


def changes(
    connection: Connection, project_id: str, before: int, after: int, reader: Reader
) -> list[DocumentChange]:
    """What became of documents from one generation to the other, of those that a reader may find, by path."""
    clause, tags = for_reader(reader)
    shown = (
        "SELECT d.source, d.path, d.row, d.id FROM document d WHERE d.project_id = :project"  # noqa: S608
        f" AND {VISIBLE.format('d')}{clause}"
    )
    rows = connection.execute(
        text(
            f"WITH a AS MATERIALIZED ({shown.replace(':number', ':before')}),"  # noqa: S608
            f" b AS MATERIALIZED ({shown.replace(':number', ':after')})"
            " SELECT 'added', source, path, id FROM b WHERE (source, path) NOT IN (SELECT source, path FROM a)"
            " UNION ALL SELECT 'removed', source, path, id FROM a"
            " WHERE (source, path) NOT IN (SELECT source, path FROM b)"
            " UNION ALL SELECT 'changed', b.source, b.path, b.id FROM a"
            " JOIN b ON a.source = b.source AND a.path = b.path AND a.row <> b.row ORDER BY 3, 2"
        ),
        {"project": project_id, "before": before, "after": after, **tags},
    )
    return [DocumentChange(*row) for row in rows]
