"""Calls of models, what they have in common, and their sums by the hour, by the day, and by end user and day."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite makes only an INTEGER key the row's own number
SUMS = (
    "calls",
    "errors",
    "cancelled",
    "cached",
    "reconciled",
    "unpriced",
    "estimated",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanos",
    "saved_nanos",
    "open_nanos",
    "busy_us",
)


def sums() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS]


def upgrade() -> None:
    op.create_table(
        "dimension",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("served_by", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("release_id", sa.Text, nullable=False),
    )
    op.create_index("dimension_by_project", "dimension", ["project_id"])
    op.create_table(
        "call",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("dimension_id", sa.BigInteger, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("input", sa.BigInteger),
        sa.Column("cached_input", sa.BigInteger),
        sa.Column("cache_write", sa.BigInteger),
        sa.Column("output", sa.BigInteger),
        sa.Column("reasoning", sa.BigInteger),
        sa.Column("cost_nanos", sa.BigInteger),
        sa.Column("reserved_nanos", sa.BigInteger),
        sa.Column("saved_nanos", sa.BigInteger),
        sa.Column("cache", sa.Text, nullable=False),
        sa.Column("batch", sa.Integer, nullable=False),
        sa.Column("estimated", sa.Integer, nullable=False),
        sa.Column("max_output", sa.BigInteger),
        sa.Column("digest", sa.BigInteger),
        sa.Column("prefix", sa.BigInteger),
        sa.Column("prefix_chars", sa.BigInteger),
    )
    reserved = sa.text("status = 'reserved'")
    op.create_index("call_reserved", "call", ["id"], sqlite_where=reserved, postgresql_where=reserved)
    op.create_table(
        "hourly",
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("dimension_id", sa.BigInteger, nullable=False),
        *sums(),
        sa.PrimaryKeyConstraint("hour", "dimension_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily",
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("dimension_id", sa.BigInteger, nullable=False),
        *sums(),
        sa.PrimaryKeyConstraint("day", "dimension_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_user",
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("dimension_id", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        *sums(),
        sa.PrimaryKeyConstraint("day", "dimension_id", "user"),
        sqlite_with_rowid=False,
    )
