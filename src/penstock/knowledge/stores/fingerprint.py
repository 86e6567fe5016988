"""The content of a generation as one hash: what two runs over the same files must agree on.

Documents, passages, vectors and full-text rows are in it, as they stand in their tables; row numbers, ids and times
are not.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

from sqlalchemy import Connection, text

from penstock.errors import NotFound
from penstock.knowledge.stores.publishing import generation
from penstock.knowledge.stores.reader import VISIBLE
from penstock.knowledge.stores.seals import encode, seal_of
from penstock.knowledge.stores.writer import PASSAGE

HEADER = (
    "source", "path", "title", "kind", "status", "reason", "recipe", "parser", "digest", "characters", "pages",
    "chunks", "url", "metadata", "readers",
)  # fmt: skip


def content_hash(connection: Connection, project_id: str, number: int) -> str:
    """64 hex digits. Raises `NotFound` for a generation that is not kept."""
    if not generation(connection, project_id, number).number:
        raise NotFound(f"Generation {number} of the knowledge is not kept.")
    names = {"project": project_id, "number": number}
    words = terms_by_chunk(connection)
    chunks: dict[int, list[bytes]] = defaultdict(list)
    rows = connection.execute(
        text(
            f"SELECT c.row, c.document_row, e.vector, {PASSAGE}"  # noqa: S608
            " FROM chunk c LEFT JOIN generation g ON g.project_id = c.project_id AND g.number = :number"
            " LEFT JOIN embedding e ON e.project_id = c.project_id AND e.embedder_id = g.embedder_id"
            f" AND e.digest = c.digest WHERE c.project_id = :project AND {VISIBLE.format('c')}"
            " ORDER BY c.document_row, c.row"
        ),
        names,
    )
    for row, document, vector, *fields in rows:
        chunks[document].append(seal_of(fields, vector, words.get(row)))
    documents = connection.execute(
        text(
            f"SELECT d.row, t.text, t.marks, {', '.join(f'd.{name}' for name in HEADER)} FROM document d"  # noqa: S608
            " LEFT JOIN document_text t ON t.document_row = d.row"
            f" WHERE d.project_id = :project AND {VISIBLE.format('d')} ORDER BY d.source, d.path"
        ),
        names,
    )
    total = hashlib.sha256()
    for row, body, marks, *fields in documents:
        total.update(encode((body, marks, fields, chunks.pop(row, []))))
    total.update(encode(sorted(seal for left in chunks.values() for seal in left)))
    return total.hexdigest()


def terms_by_chunk(connection: Connection) -> dict[int, int]:
    """A sum over the words of each full-text row with their places, by the row: equal sums, equal words."""
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.chunk_word USING fts5vocab(main, 'chunk_fts', 'instance')"
    )
    sums: dict[int, int] = defaultdict(int)
    for term, row, column, offset in connection.exec_driver_sql(
        'SELECT term, doc, col, "offset" FROM temp.chunk_word'
    ):
        sums[row] += int.from_bytes(seal_of(term, column, offset)[:7], "big")
    return {row: total % (1 << 63) for row, total in sums.items()}
