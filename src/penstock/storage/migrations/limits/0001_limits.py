"""What is used of each limit, and what processes hold of it in advance."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "limit_count",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("size_us", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("warn", sa.BigInteger, nullable=False),
        sa.Column("ends_us", sa.BigInteger, nullable=False),
        sa.Column("previous", sa.BigInteger, nullable=False),
        sa.Column("current", sa.BigInteger, nullable=False),
        sa.Column("warned_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "limit_holder",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "limit_lease",
        sa.Column("count_id", sa.Text, primary_key=True),
        sa.Column("holder_id", sa.Text, primary_key=True),
        sa.Column("unused", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
    )
    op.create_index("limit_lease_by_holder", "limit_lease", ["holder_id"])
