"""What puts a store right: what follows from the rest is made again, what does not is marked to be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, text

from penstock.knowledge.stores.checks import Difference
from penstock.knowledge.stores.publishing import published
from penstock.knowledge.stores.reader import VISIBLE


def mend(connection: Connection, project_id: str, found: Sequence[Difference]) -> None:
    """Deletes what is left over or wrong, makes full-text rows again, and marks damaged documents to be read."""
    names = {"project": project_id, "documents": rows_of(found, "document"), "vectors": rows_of(found, "vector")}
    for statement in (
        "DELETE FROM document_text WHERE project_id = :project AND document_row NOT IN (SELECT row FROM document)",
        "DELETE FROM embedding WHERE row IN (SELECT value FROM json_each(:vectors))",
        "UPDATE document SET recipe = '', version = '', digest = ''"
        " WHERE row IN (SELECT value FROM json_each(:documents))",
    ):
        connection.execute(text(statement), names)
    orphans = connection.execute(
        text("SELECT count(*) FROM chunk WHERE document_row NOT IN (SELECT row FROM document)")
    ).scalar_one()
    changed = [each for each in found if each.part == "words"]
    if orphans or any("no full-text row" not in each.reason for each in changed):
        # Taking out a row needs the words that it was made of, which nobody knows: all are made again.
        connection.execute(text("INSERT INTO chunk_fts (chunk_fts) VALUES ('rebuild')"))
        connection.execute(text("DELETE FROM chunk WHERE document_row NOT IN (SELECT row FROM document)"))
    elif changed:
        connection.execute(
            text(
                "INSERT INTO chunk_fts (rowid, text, heading) SELECT row, coalesce(terms, text), heading FROM chunk"
                " WHERE row IN (SELECT value FROM json_each(:rows))"
            ),
            {"rows": rows_of(changed, "words")},
        )


def drop_damaged(connection: Connection, project_id: str, documents: Sequence[int], numbers: Sequence[int]) -> None:
    """Forgets the generations with these numbers, and those that show these documents, unless readers are there.

    What their passages lack follows from nothing that is kept.
    """
    names = {
        "project": project_id,
        "documents": msgspec.json.encode(list(documents)).decode(),
        "numbers": msgspec.json.encode(list(numbers)).decode(),
        "published": published(connection, project_id).number,
    }
    visible = VISIBLE.format("d").replace(":number", "generation.number")
    connection.execute(
        text(
            "DELETE FROM generation WHERE project_id = :project AND number <> :published AND"  # noqa: S608
            " number NOT IN (SELECT number FROM published WHERE project_id = :project) AND"
            " (number IN (SELECT value FROM json_each(:numbers)) OR EXISTS (SELECT 1 FROM document d WHERE d.row IN"
            f" (SELECT value FROM json_each(:documents)) AND {visible}))"
        ),
        names,
    )
    unseen = (
        f"(SELECT d.row FROM document d WHERE d.row IN (SELECT value FROM json_each(:documents))"  # noqa: S608
        " AND d.removed_in IS NOT NULL AND NOT EXISTS (SELECT 1 FROM generation"
        f" WHERE generation.project_id = :project AND {visible}))"
    )
    for statement in (
        f"DELETE FROM chunk WHERE document_row IN {unseen}",  # noqa: S608
        f"DELETE FROM document WHERE row IN {unseen}",  # noqa: S608
    ):
        connection.execute(text(statement), names)


def rows_of(found: Iterable[Difference], part: str) -> str:
    return msgspec.json.encode([each.row for each in found if each.part == part and each.row]).decode()
