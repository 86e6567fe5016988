"""Cached answers with a running total of their size, and the questions that are compared by meaning."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEEP_COUNT = (
    "CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN "
    "UPDATE total SET entries = entries + 1, bytes = bytes + new.size; END",
    "CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN "
    "UPDATE total SET entries = entries - 1, bytes = bytes - old.size; END",
    "CREATE TRIGGER entry_changed AFTER UPDATE OF size ON entry BEGIN "
    "UPDATE total SET bytes = bytes + new.size - old.size; END",
)


def upgrade() -> None:
    op.create_table(
        "entry",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("used_us", sa.BigInteger, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("entry_used", "entry", ["used_us", "size"])
    op.create_table(
        "total",
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO total (entries, bytes) VALUES (0, 0)")
    for statement in KEEP_COUNT:
        op.execute(statement)
    op.create_table(
        "question",
        sa.Column("key", sa.LargeBinary, sa.ForeignKey("entry.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("context", sa.LargeBinary, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
