"""Documents of many sources, with metadata and readers; runs; generations that can be gone back to."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    # What tells a document from its earlier self without reading it; "" where it must be read to know.
    "ALTER TABLE document ADD COLUMN version TEXT NOT NULL DEFAULT ''",
    "UPDATE document SET version = size || ':' || mtime_ns || ':' || inode WHERE inode <> 0",
    "ALTER TABLE document ADD COLUMN parser TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE document ADD COLUMN url TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE document ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'",
    # Tags of those who may find it, as a JSON list; [] is everybody.
    "ALTER TABLE document ADD COLUMN readers TEXT NOT NULL DEFAULT '[]'",
    "CREATE INDEX document_digest ON document (project_id, digest)",
    "ALTER TABLE chunk ADD COLUMN location TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE chunk ADD COLUMN parent_start INTEGER",
    "ALTER TABLE chunk ADD COLUMN parent_end INTEGER",
    # 1 after going back to an earlier generation: runs make generations, and readers stay where they are.
    "ALTER TABLE published ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE generation ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    # How far the listing of a source was when the last generation was made.
    """
    CREATE TABLE source_cursor (
        project_id TEXT NOT NULL,
        source TEXT NOT NULL,
        cursor BLOB NOT NULL,
        listed_at INTEGER NOT NULL,
        PRIMARY KEY (project_id, source)
    )
    """,
    """
    CREATE TABLE run (
        id TEXT PRIMARY KEY NOT NULL,
        project_id TEXT NOT NULL,
        trigger TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        generation INTEGER,
        options TEXT NOT NULL DEFAULT '{}',
        report TEXT NOT NULL DEFAULT '{}',
        error TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX run_created ON run (project_id, created_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
