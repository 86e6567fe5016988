"""What must hold of a knowledge database at any time, looked up with SQL of its own."""

import sqlite3
from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=rw", uri=True)


def check_store(path: Path, *, dimensions: int = 32) -> int:
    """Checks the file and its published generation; returns the generation's number, 0 for none."""
    with connect(path) as connection:
        one = connection.execute
        assert one("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert one("PRAGMA foreign_key_check").fetchall() == []
        # Raises where a full-text row is missing, left over, or of other words than its passage.
        one("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)")
        connection.rollback()
        found = one(
            "SELECT p.number, g.embedder_id, g.documents, g.chunks FROM published p JOIN generation g"
            " ON g.project_id = p.project_id AND g.number = p.number"
        ).fetchone()
        if found is None:
            return 0
        number, embedder, documents, chunks = found
        visible = "added_in <= ? AND (removed_in IS NULL OR removed_in > ?)"
        assert one(f"SELECT count(*) FROM document WHERE {visible}", (number, number)).fetchone() == (documents,)
        assert one(f"SELECT count(*) FROM chunk WHERE {visible}", (number, number)).fetchone() == (chunks,)
        bare = one(
            f"SELECT count(*) FROM chunk c LEFT JOIN embedding e ON e.digest = c.digest AND e.embedder_id = ?"
            f" WHERE {visible} AND (e.vector IS NULL OR length(e.vector) != ?)",
            (embedder, number, number, 4 * dimensions),
        ).fetchone()
        assert bare == (0,), "a visible passage has no vector"
        wrong = one(
            "SELECT count(*) FROM chunk c JOIN document_text t ON t.document_row = c.document_row"
            ' WHERE substr(t.text, c.start + 1, c."end" - c.start) != c.text'
        ).fetchone()
        assert wrong == (0,), "a passage is not what stands at its place"
        twice = one(
            f"SELECT path FROM document WHERE {visible} GROUP BY source, path HAVING count(*) > 1", (number, number)
        ).fetchall()
        assert twice == [], "a file is there twice"
        return int(number)


def content(path: Path) -> list[tuple[str, str, int, int, str]]:
    """Every passage of the published generation, without ids: what two equal runs must agree on."""
    with connect(path) as connection:
        return connection.execute(
            'SELECT d.path, d.status, c.start, c."end", c.text FROM document d'
            " JOIN chunk c ON c.document_row = d.row, published p"
            " WHERE d.added_in <= p.number AND (d.removed_in IS NULL OR d.removed_in > p.number)"
            " ORDER BY d.path, c.start"
        ).fetchall()
