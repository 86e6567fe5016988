"""Documents, their passages, vectors and full-text rows, in generations."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE embedder (
        id INTEGER PRIMARY KEY,
        project_id TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        name TEXT NOT NULL,
        dimensions INTEGER NOT NULL,
        UNIQUE (project_id, fingerprint)
    )
    """,
    """
    CREATE TABLE generation (
        project_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        embedder_id INTEGER NOT NULL REFERENCES embedder (id),
        published_at INTEGER NOT NULL,
        documents INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        PRIMARY KEY (project_id, number)
    )
    """,
    # The pointer that readers follow. Publishing and rolling back are an update of this row.
    """
    CREATE TABLE published (
        project_id TEXT PRIMARY KEY NOT NULL,
        number INTEGER NOT NULL,
        FOREIGN KEY (project_id, number) REFERENCES generation (project_id, number)
    )
    """,
    """
    CREATE TABLE document (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        project_id TEXT NOT NULL,
        source TEXT NOT NULL,
        path TEXT NOT NULL,
        title TEXT NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        recipe TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        characters INTEGER NOT NULL,
        pages INTEGER,
        chunks INTEGER NOT NULL,
        loaded_at INTEGER NOT NULL,
        added_in INTEGER NOT NULL,
        removed_in INTEGER
    )
    """,
    "CREATE UNIQUE INDEX document_live ON document (project_id, source, path) WHERE removed_in IS NULL",
    "CREATE INDEX document_added ON document (project_id, added_in)",
    "CREATE INDEX document_removed ON document (project_id, removed_in) WHERE removed_in IS NOT NULL",
    """
    CREATE TABLE document_text (
        document_row INTEGER PRIMARY KEY REFERENCES document (row) ON DELETE CASCADE,
        project_id TEXT NOT NULL,
        marks BLOB NOT NULL,
        text TEXT NOT NULL
    )
    """,
    # `terms` is what the full-text index reads where words cannot be told by spaces, else null: it reads `text`.
    """
    CREATE TABLE chunk (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        project_id TEXT NOT NULL,
        document_row INTEGER NOT NULL REFERENCES document (row) ON DELETE CASCADE,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        page INTEGER,
        digest BLOB NOT NULL,
        added_in INTEGER NOT NULL,
        removed_in INTEGER,
        heading TEXT NOT NULL,
        text TEXT NOT NULL,
        terms TEXT
    )
    """,
    "CREATE INDEX chunk_document ON chunk (document_row)",
    "CREATE INDEX chunk_digest ON chunk (project_id, digest)",
    "CREATE INDEX chunk_added ON chunk (project_id, added_in)",
    "CREATE INDEX chunk_removed ON chunk (project_id, removed_in) WHERE removed_in IS NOT NULL",
    # Vectors by what was embedded: the passages' own, and the cache, in one.
    """
    CREATE TABLE embedding (
        row INTEGER PRIMARY KEY,
        project_id TEXT NOT NULL,
        embedder_id INTEGER NOT NULL REFERENCES embedder (id),
        digest BLOB NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (project_id, embedder_id, digest)
    )
    """,
    "CREATE VIEW chunk_words AS SELECT row, coalesce(terms, text) AS text, heading FROM chunk",
    """
    CREATE VIRTUAL TABLE chunk_fts USING fts5 (
        text, heading, content='chunk_words', content_rowid='row', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER chunk_inserted AFTER INSERT ON chunk BEGIN
        INSERT INTO chunk_fts (rowid, text, heading)
        VALUES (new.row, coalesce(new.terms, new.text), new.heading);
    END
    """,
    """
    CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN
        INSERT INTO chunk_fts (chunk_fts, rowid, text, heading)
        VALUES ('delete', old.row, coalesce(old.terms, old.text), old.heading);
    END
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
