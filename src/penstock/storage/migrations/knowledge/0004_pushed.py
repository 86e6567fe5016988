"""Documents that were sent through the API, kept here because they are nowhere else."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    CREATE TABLE pushed (
        project_id TEXT NOT NULL,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        url TEXT NOT NULL,
        metadata TEXT NOT NULL,
        readers TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        pushed_at INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (project_id, key)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
