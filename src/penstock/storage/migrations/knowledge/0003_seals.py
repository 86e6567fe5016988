"""What documents and vectors are checked by, how far a run is, and row numbers that are never given twice."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    # Of what the source says of a document beside its content: metadata, readers, title, address.
    "ALTER TABLE document ADD COLUMN listed BLOB NOT NULL DEFAULT x''",
    # Of the text, its marks and its passages; and of that with everything else that is shown. x'': never taken.
    "ALTER TABLE document ADD COLUMN body BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE document ADD COLUMN seal BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE embedding ADD COLUMN checksum INTEGER",
    "ALTER TABLE run ADD COLUMN progress TEXT NOT NULL DEFAULT '{}'",
    # Caches know passages by their row, so one that is gone must not lend its number to another.
    "CREATE TABLE last_row (name TEXT PRIMARY KEY NOT NULL, row INTEGER NOT NULL)",
    "INSERT INTO last_row SELECT 'document', coalesce(max(row), 0) FROM document",
    "INSERT INTO last_row SELECT 'chunk', coalesce(max(row), 0) FROM chunk",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
