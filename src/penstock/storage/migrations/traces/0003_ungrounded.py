"""Answers of which a part stands on nothing are found without walking through all traces."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    rare = sa.text("grounded < 1")
    op.create_index(
        "trace_ungrounded",
        "trace",
        ["project_id", "key", "grounded"],
        sqlite_where=rare,
        postgresql_where=rare,
    )
