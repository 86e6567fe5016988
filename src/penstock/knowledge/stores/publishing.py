"""Generations: one is made at the end of a run, readers follow a pointer to one, and old ones go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from penstock.errors import StorageError
from penstock.knowledge.stores import runs
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.writes import Closing, Pending


def published(connection: Connection, project_id: str) -> Published:
    """The generation that readers see."""
    number = connection.execute(
        text("SELECT coalesce(configured, number) FROM published WHERE project_id = :project"),
        {"project": project_id},
    ).scalar()
    return generation(connection, project_id, number or 0)


def generation(connection: Connection, project_id: str, number: int) -> Published:
    """A generation by its number; the empty one where it is not kept."""
    row = connection.execute(
        text(
            "SELECT g.number, e.fingerprint, g.chunks FROM generation g JOIN embedder e ON e.id = g.embedder_id"
            " WHERE g.project_id = :project AND g.number = :number"
        ),
        {"project": project_id, "number": number},
    ).one_or_none()
    return Published(*row) if row else Published(0, "", 0)


def newest(connection: Connection, project_id: str) -> int:
    """The number of the newest generation, 0 before the first: documents live in their order, so the next run
    makes the one after it, wherever readers are."""
    number: int = connection.execute(
        text("SELECT coalesce(max(number), 0) FROM generation WHERE project_id = :project"), {"project": project_id}
    ).scalar_one()
    return number


def embedder_id(connection: Connection, keys: Mapping[str, Any]) -> int | None:
    """The row of an embedder, by `project` and `fingerprint`."""
    value: int | None = connection.execute(
        text("SELECT id FROM embedder WHERE project_id = :project AND fingerprint = :fingerprint"), dict(keys)
    ).scalar()
    return value


def publish(connection: Connection, project_id: str, pending: Pending, closing: Closing) -> int:
    """Makes the pending generation if it differs from the newest one; returns the newest one's number.

    Raises `StorageError` where a passage of it lacks its vector, and `Conflict` where its run was cancelled: then
    all stays as it was.
    """
    number = make(connection, project_id, pending, closing)
    if closing.run:
        runs.publish(connection, project_id, closing.run, number)
    return number


def make(connection: Connection, project_id: str, pending: Pending, closing: Closing) -> int:
    names = {
        "project": project_id,
        "number": pending.number,
        "embedder": pending.embedder_id,
        "now": closing.now_us,
        "note": closing.note,
    }
    for source, cursor in closing.cursors.items():
        connection.execute(
            text(
                "INSERT INTO source_cursor (project_id, source, cursor, listed_at)"
                " VALUES (:project, :source, :cursor, :now) ON CONFLICT (project_id, source)"
                " DO UPDATE SET cursor = excluded.cursor, listed_at = excluded.listed_at"
            ),
            {"project": project_id, "source": source, "cursor": cursor, "now": closing.now_us},
        )
    if not connection.execute(text(DIFFERS), names).scalar():
        return pending.number - 1
    bare = connection.execute(text(WITHOUT_VECTOR), names).scalar_one()
    if bare:
        raise StorageError(
            f"{bare:,} passages of generation {pending.number} have no vector, so it is not published.",
            hint="Run `penstock ingest` again; `penstock knowledge verify` tells more.",
        )
    connection.execute(text(INSERT_GENERATION), names)
    connection.execute(
        text(
            "INSERT INTO published (project_id, number) VALUES (:project, :number)"
            " ON CONFLICT (project_id) DO UPDATE SET number = excluded.number WHERE pinned = 0"
        ),
        names,
    )
    purge(connection, project_id, pending.number - closing.keep + 1)
    return pending.number


DIFFERS = (
    "SELECT EXISTS (SELECT 1 FROM document WHERE project_id = :project AND added_in = :number)"
    " OR EXISTS (SELECT 1 FROM document WHERE project_id = :project AND removed_in = :number)"
    " OR NOT EXISTS (SELECT 1 FROM generation WHERE project_id = :project AND number = :number - 1"
    "  AND embedder_id = :embedder)"
)
# Passages of earlier generations are looked at only where the embedder is another one than before.
WITHOUT_VECTOR = (
    "SELECT count(*) FROM chunk c WHERE c.project_id = :project AND c.removed_in IS NULL AND c.added_in >= CASE"
    " WHEN EXISTS (SELECT 1 FROM generation WHERE project_id = :project AND number = :number - 1"
    "  AND embedder_id = :embedder) THEN :number ELSE 0 END"
    " AND NOT EXISTS (SELECT 1 FROM embedding e WHERE e.project_id = c.project_id"
    "  AND e.embedder_id = :embedder AND e.digest = c.digest)"
)
INSERT_GENERATION = (
    "INSERT INTO generation (project_id, number, embedder_id, published_at, documents, chunks, note)"
    " SELECT :project, :number, :embedder, :now,"
    " (SELECT count(*) FROM document WHERE project_id = :project AND removed_in IS NULL),"
    " (SELECT count(*) FROM chunk WHERE project_id = :project AND removed_in IS NULL), :note"
)


def purge(connection: Connection, project_id: str, oldest: int) -> None:
    """Deletes what no generation from `oldest` on shows, nor the one that readers are at, nor the one that they
    would be at if the configuration did not keep them elsewhere."""
    needed = connection.execute(
        text("SELECT min(number, coalesce(configured, number)) FROM published WHERE project_id = :project"),
        {"project": project_id},
    ).scalar()
    names = {"project": project_id, "oldest": min(oldest, needed or oldest)}
    for statement in PURGE:
        connection.execute(text(statement), names)


PURGE = (
    "DELETE FROM generation WHERE project_id = :project AND number < :oldest",
    # Before the passages go: the vectors that only they have.
    "DELETE FROM embedding WHERE project_id = :project AND digest IN"
    " (SELECT digest FROM chunk WHERE project_id = :project AND removed_in <= :oldest)"
    " AND NOT EXISTS (SELECT 1 FROM chunk c WHERE c.project_id = :project AND c.digest = embedding.digest"
    "  AND (c.removed_in IS NULL OR c.removed_in > :oldest))",
    "DELETE FROM chunk WHERE project_id = :project AND removed_in <= :oldest",
    "DELETE FROM document WHERE project_id = :project AND removed_in <= :oldest",
    "DELETE FROM embedding WHERE project_id = :project AND embedder_id NOT IN"
    " (SELECT embedder_id FROM generation WHERE project_id = :project)",
)
