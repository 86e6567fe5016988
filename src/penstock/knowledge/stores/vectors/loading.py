"""Vectors, rows and documents out of the database, streamed: no object is kept for a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from penstock.errors import StorageError
from penstock.knowledge.filters import Metadata, Scalar
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors.columns import DocumentTable
from penstock.knowledge.stores.vectors.segment import Rows, Segment

AT_ONCE = 2_000
VISIBLE = "c.added_in <= :number AND (c.removed_in IS NULL OR c.removed_in > :number)"
EMBEDDED = (
    "SELECT c.row, c.document_row, e.vector FROM chunk c JOIN embedding e ON e.project_id = c.project_id"
    " AND e.embedder_id = (SELECT id FROM embedder WHERE project_id = :project AND fingerprint = :fingerprint)"
    " AND e.digest = c.digest"
)
METADATA = msgspec.json.Decoder(dict[str, Scalar | tuple[str, ...]])
READERS = msgspec.json.Decoder(tuple[str, ...])


class VectorLoader:
    """Reads what the generations of one project show, over a connection that sees one consistent state."""

    def __init__(self, connection: Connection, project_id: str) -> None:
        self._connection = connection
        self._project = project_id

    def dimensions(self, fingerprint: str) -> int:
        """Of the vectors of an embedder that a generation was made with."""
        found: int = self._connection.execute(
            text("SELECT dimensions FROM embedder WHERE project_id = :project AND fingerprint = :fingerprint"),
            {"project": self._project, "fingerprint": fingerprint},
        ).scalar_one()
        return found

    def published_at(self, generation: Published) -> int | None:
        """When a generation was made, UTC microseconds; `None` where it is not kept: then what it showed may be
        gone, and its row numbers may be other passages' by now."""
        found: int | None = self._connection.execute(
            text(
                "SELECT g.published_at FROM generation g JOIN embedder e ON e.id = g.embedder_id WHERE"
                " g.project_id = :project AND g.number = :number AND e.fingerprint = :fingerprint"
            ),
            {"project": self._project, "number": generation.number, "fingerprint": generation.fingerprint},
        ).scalar()
        return found

    def segment(self, generation: Published) -> Segment:
        """Everything that a generation shows."""
        return self._segment(generation, VISIBLE, {"number": generation.number})

    def difference(self, base: Published, generation: Published) -> tuple[Rows, Segment]:
        """What `generation` no longer shows of what `base` showed, by row, and what it shows beside. Either may be
        the newer one; both must be kept."""
        if base.number < generation.number:
            gone = "c.removed_in > :base AND c.removed_in <= :number AND c.added_in <= :base"
            new = f"c.added_in > :base AND {VISIBLE}"
        else:
            gone = "c.added_in > :number AND c.added_in <= :base"
            new = "c.removed_in > :number AND c.removed_in <= :base AND c.added_in <= :number"
        numbers = {"base": base.number, "number": generation.number}
        rows = self._connection.execute(
            text(f"SELECT c.row FROM chunk c WHERE c.project_id = :project AND {gone}"),  # noqa: S608
            {"project": self._project, **numbers},
        ).scalars()
        return np.fromiter(rows, dtype=np.int64), self._segment(generation, new, numbers)

    def documents(self, wanted: Rows) -> DocumentTable:
        """The documents of these rows, ascending and each once. Raises `StorageError` where one is not there."""
        return DocumentTable.of(wanted, self._documents(wanted))

    def _segment(self, generation: Published, where: str, numbers: dict[str, int]) -> Segment:
        values = {"project": self._project, "fingerprint": generation.fingerprint, **numbers}
        count: int = self._connection.execute(
            text(f"SELECT count(*) FROM chunk c WHERE c.project_id = :project AND {where}"),  # noqa: S608
            values,
        ).scalar_one()
        dimensions = self.dimensions(generation.fingerprint)
        rows, owners = np.empty(count, np.int64), np.empty(count, np.int64)
        vectors = np.empty((count, dimensions), np.float16)
        filled = 0
        statement = f"{EMBEDDED} WHERE c.project_id = :project AND {where} ORDER BY c.row"
        for batch in self._streamed(statement, values):
            end = filled + len(batch)
            rows[filled:end] = [row for row, _, _ in batch]
            owners[filled:end] = [owner for _, owner, _ in batch]
            found = np.frombuffer(b"".join(vector for _, _, vector in batch), dtype="<f4")
            if found.size != len(batch) * dimensions:
                raise damaged("a vector has another length than its embedder makes")
            vectors[filled:end] = found.reshape(len(batch), dimensions)
            filled = end
        wanted, places = np.unique(owners[:filled], return_inverse=True)
        return Segment(rows[:filled], vectors[:filled], places.astype(np.int32), self.documents(wanted))

    def _documents(self, wanted: Rows) -> Iterator[tuple[Metadata, tuple[str, ...]]]:
        if not len(wanted):
            return
        statement = (
            "SELECT row, metadata, readers FROM document WHERE project_id = :project"
            " AND row BETWEEN :first AND :last ORDER BY row"
        )
        keys = {"project": self._project, "first": int(wanted[0]), "last": int(wanted[-1])}
        expected = iter(wanted.tolist())
        following = next(expected, None)
        for batch in self._streamed(statement, keys):
            for row, metadata, readers in batch:
                if row == following:
                    yield METADATA.decode(metadata), READERS.decode(readers)
                    following = next(expected, None)
        if following is not None:
            raise damaged(f"document row {following} is not there")

    def _streamed(self, statement: str, values: dict[str, Any]) -> Iterator[list[tuple[Any, ...]]]:
        found = self._connection.execution_options(yield_per=AT_ONCE).execute(text(statement), values)
        for batch in found.partitions():
            yield [tuple(row) for row in batch]


def damaged(what: str) -> StorageError:
    return StorageError(
        f"The knowledge base is damaged: {what}.",
        hint="Run `penstock knowledge verify`: it finds and repairs what differs.",
    )


def places_of(rows: NDArray[np.int64], wanted: Rows) -> NDArray[np.int32]:
    """Where each row stands among the wanted ones (ascending); 0 for one that is not there."""
    at = np.minimum(np.searchsorted(wanted, rows), max(0, len(wanted) - 1))
    return np.where(wanted[at] == rows, at, 0).astype(np.int32)
