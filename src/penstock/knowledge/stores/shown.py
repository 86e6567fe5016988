"""What pages show of a store beside its documents: the passages of one, what each source gave, a sample of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from penstock.knowledge.stores.reader import VISIBLE, for_reader
from penstock.knowledge.values import Reader

PREVIEW = 220
"""Characters of a sampled passage."""


class SourceHeld(Struct, frozen=True, kw_only=True):
    """What a generation has of one source. `bytes` is the size of the documents as they came; UTC microseconds say
    when it was last listed whole, `None` for never, and when the last of its documents was read."""

    source: str
    documents: int
    chunks: int
    bytes: int
    statuses: dict[str, int]
    listed_at: int | None
    loaded_at: int | None


class DocumentPassage(Struct, frozen=True, kw_only=True):
    """A passage as it was cut: characters `start` to `end` of its document's text. `parent` is the larger range
    that is read where it is found."""

    id: str
    start: int
    end: int
    heading: tuple[str, ...]
    page: int | None
    location: str
    parent: tuple[int, int] | None


class SampledPassage(Struct, frozen=True, kw_only=True):
    """One passage of a sample, and what it is of; `text` is its beginning."""

    document_id: str
    document: str
    source: str
    kind: str
    heading: tuple[str, ...]
    location: str
    start: int
    end: int
    text: str


class Sample(Struct, frozen=True):
    """Passages out of `total`, with their vectors: float32 (passages, dimensions). `fingerprint` is that of the
    embedder which made them."""

    passages: tuple[SampledPassage, ...]
    vectors: NDArray[np.float32]
    total: int
    fingerprint: str


def sources(connection: Connection, project_id: str, number: int, reader: Reader) -> list[SourceHeld]:
    """What a generation has of each source for a reader, and when each was last listed; by name."""
    clause, tags = for_reader(reader)
    names = {"project": project_id, "number": number, **tags}
    rows = connection.execute(
        text(
            "SELECT d.source, d.status, count(*) AS documents, sum(d.chunks) AS chunks, sum(d.size) AS bytes,"  # noqa: S608
            " max(d.loaded_at) AS loaded_at FROM document d"
            f" WHERE d.project_id = :project AND {VISIBLE.format('d')}{clause}"
            " GROUP BY d.source, d.status ORDER BY d.source, d.status"
        ),
        names,
    ).all()
    cursors = connection.execute(
        text("SELECT source, listed_at FROM source_cursor WHERE project_id = :project"), names
    )
    listed: dict[str, int] = {row.source: row.listed_at for row in cursors}
    found = sorted({row.source for row in rows} | set(listed))
    return [held(name, [row for row in rows if row.source == name], listed.get(name)) for name in found]


def held(name: str, rows: Sequence[Row[Any]], listed_at: int | None) -> SourceHeld:
    return SourceHeld(
        source=name,
        documents=sum(row.documents for row in rows),
        chunks=sum(row.chunks for row in rows),
        bytes=sum(row.bytes for row in rows),
        statuses={row.status: row.documents for row in rows},
        listed_at=listed_at,
        loaded_at=max((row.loaded_at for row in rows), default=None),
    )


def passages(connection: Connection, project_id: str, document_id: str, reader: Reader) -> list[DocumentPassage]:
    """The passages of a document in their order; none of one that is not there, or not for the reader."""
    clause, tags = for_reader(reader)
    rows = connection.execute(
        text(
            'SELECT c.id, c.start, c."end", c.heading, c.page, c.location, c.parent_start, c.parent_end'  # noqa: S608
            " FROM document d JOIN chunk c ON c.document_row = d.row"
            f" WHERE d.project_id = :project AND d.id = :id{clause} ORDER BY c.row"
        ),
        {"project": project_id, "id": document_id, **tags},
    )
    return [
        DocumentPassage(
            id=row.id,
            start=row.start,
            end=row.end,
            heading=headings(row.heading),
            page=row.page,
            location=row.location,
            parent=None if row.parent_start is None else (row.parent_start, row.parent_end),
        )
        for row in rows
    ]


def sample(connection: Connection, project_id: str, number: int, reader: Reader, most: int) -> Sample:
    """At most so many of the passages of a generation that a reader may find, spread evenly over all of them."""
    clause, tags = for_reader(reader)
    names = {"project": project_id, "number": number, "most": most, **tags}
    total: int = connection.execute(
        text(
            "SELECT coalesce(sum(d.chunks), 0) FROM document d"  # noqa: S608
            f" WHERE d.project_id = :project AND {VISIBLE.format('d')}{clause}"
        ),
        names,
    ).scalar_one()
    rows = connection.execute(
        text(
            'SELECT d.id, d.path, d.source, d.kind, c.heading, c.location, c.start, c."end",'  # noqa: S608
            f" substr(c.text, 1, {PREVIEW}) AS text, e.vector, m.fingerprint"
            " FROM generation g JOIN embedder m ON m.id = g.embedder_id JOIN chunk c ON c.project_id = g.project_id"
            " JOIN document d ON d.row = c.document_row JOIN embedding e ON e.project_id = c.project_id"
            " AND e.embedder_id = g.embedder_id AND e.digest = c.digest"
            " WHERE g.project_id = :project AND g.number = :number AND c.row % :step = 0"
            f" AND {VISIBLE.format('c')}{clause} ORDER BY c.row LIMIT :most"
        ),
        {**names, "step": max(1, math.ceil(total / most))},
    ).all()
    vectors = [np.frombuffer(row.vector, dtype="<f4") for row in rows]
    return Sample(
        tuple(sampled(row) for row in rows),
        np.array(vectors, dtype=np.float32) if rows else np.zeros((0, 0), dtype=np.float32),
        total,
        rows[0].fingerprint if rows else "",
    )


def sampled(row: Row[Any]) -> SampledPassage:
    return SampledPassage(
        document_id=row.id,
        document=row.path,
        source=row.source,
        kind=row.kind,
        heading=headings(row.heading),
        location=row.location,
        start=row.start,
        end=row.end,
        text=row.text,
    )


def headings(stored: str) -> tuple[str, ...]:
    return msgspec.json.decode(stored, type=tuple[str, ...])
