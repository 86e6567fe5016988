"""Groups of keys: documents that are only for a group are found with its keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("access_key", sa.Column("groups", sa.Text, nullable=False, server_default="[]"))
