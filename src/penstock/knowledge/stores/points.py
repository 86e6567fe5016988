"""The passages of the embedded store as points for a vector database, and how far one has them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from sqlalchemy import Connection, text

from penstock.knowledge.filters import Value
from penstock.knowledge.stores.publishing import embedder_id
from penstock.seams import VectorPoint

AT_ONCE = 1000
METADATA = msgspec.json.Decoder(dict[str, Value])
READERS = msgspec.json.Decoder(tuple[str, ...])

POINTS = (
    "SELECT c.row, e.vector, c.added_in, c.removed_in, c.document_row, d.metadata, d.readers FROM chunk c"
    " JOIN document d ON d.row = c.document_row JOIN embedding e ON e.project_id = c.project_id"
    " AND e.embedder_id = :embedder AND e.digest = c.digest"
    " WHERE c.project_id = :project AND c.added_in > :since AND c.row > :after ORDER BY c.row LIMIT :limit"
)

ROWS = (
    "SELECT c.row FROM chunk c JOIN embedding e ON e.project_id = c.project_id AND e.embedder_id = :embedder"
    " AND e.digest = c.digest WHERE c.project_id = :project AND c.added_in <= :number"
    " AND (c.removed_in IS NULL OR c.removed_in > :number) ORDER BY c.row"
)


class Stored:
    """One project's passages, with the vectors of one embedder."""

    def __init__(self, connection: Connection, project_id: str, fingerprint: str) -> None:
        self._connection = connection
        self._project = project_id
        keys = {"project": project_id, "fingerprint": fingerprint}
        self._embedder = embedder_id(connection, keys) or 0

    def added_since(self, number: int) -> Iterator[list[VectorPoint]]:
        """The passages of later generations than `number`, those of an unpublished one too, a piece at a time."""
        after = 0
        while True:
            names = {"project": self._project, "embedder": self._embedder, "since": number}
            rows = self._connection.execute(text(POINTS), {**names, "after": after, "limit": AT_ONCE}).all()
            if not rows:
                return
            after = rows[-1].row
            yield [
                VectorPoint(
                    row=row.row,
                    vector=np.frombuffer(row.vector, "<f4"),
                    added_in=row.added_in,
                    removed_in=row.removed_in,
                    document=row.document_row,
                    metadata=METADATA.decode(row.metadata),
                    readers=READERS.decode(row.readers),
                )
                for row in rows
            ]

    def removed_since(self, number: int) -> dict[int, list[int]]:
        """The passages that were there at `number` and went later, by the generation that took them out."""
        rows = self._connection.execute(
            text(
                "SELECT removed_in, row FROM chunk WHERE project_id = :project AND removed_in > :since"
                " AND added_in <= :since ORDER BY removed_in, row"
            ),
            {"project": self._project, "since": number},
        )
        found: dict[int, list[int]] = {}
        for removed_in, row in rows:
            found.setdefault(removed_in, []).append(row)
        return found

    def rows_added_since(self, number: int) -> set[int]:
        return set(
            self._connection.execute(
                text("SELECT row FROM chunk WHERE project_id = :project AND added_in > :since"),
                {"project": self._project, "since": number},
            ).scalars()
        )

    def rows(self, generation: int) -> list[int]:
        """The passages that a generation shows, those without a vector left out."""
        return list(
            self._connection.execute(
                text(ROWS), {"project": self._project, "embedder": self._embedder, "number": generation}
            ).scalars()
        )

    def kept(self) -> list[int]:
        """The numbers of the generations that are kept, in their order."""
        return list(
            self._connection.execute(
                text("SELECT number FROM generation WHERE project_id = :project ORDER BY number"),
                {"project": self._project},
            ).scalars()
        )

    def oldest(self) -> int:
        """The oldest generation that is kept, 0 before the first."""
        return int(
            self._connection.execute(
                text("SELECT coalesce(min(number), 0) FROM generation WHERE project_id = :project"),
                {"project": self._project},
            ).scalar_one()
        )

    def copied(self, place: str) -> int | None:
        """The newest generation that a place has; `None` where it has none."""
        number: int | None = self._connection.execute(
            text("SELECT number FROM mirror WHERE project_id = :project AND place = :place"),
            {"project": self._project, "place": place},
        ).scalar()
        return number


def note_copied(connection: Connection, project_id: str, place: str, number: int) -> None:
    connection.execute(
        text(
            "INSERT INTO mirror (project_id, place, number) VALUES (:project, :place, :number)"
            " ON CONFLICT (project_id, place) DO UPDATE SET number = excluded.number"
        ),
        {"project": project_id, "place": place, "number": number},
    )
