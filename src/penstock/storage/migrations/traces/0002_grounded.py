"""The share of an answer's claims that a passage supports."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("trace", sa.Column("grounded", sa.Float))
