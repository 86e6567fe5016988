"""Questions that the documents did not answer, in groups that mean the same."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "gap",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("knowledge", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("closed_us", sa.BigInteger),
        sa.Column("closed_in", sa.Integer),
    )
    op.create_index("gap_by_state", "gap", ["project_id", "knowledge", "state"])
    op.create_table(
        "gap_question",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("trace_id", sa.Text, primary_key=True),
        sa.Column("gap_id", sa.Text, sa.ForeignKey("gap.id", ondelete="CASCADE"), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("tags", sa.Text),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("asked_us", sa.BigInteger, nullable=False),
        sa.Column("answered_in", sa.Integer),
    )
    op.create_index("gap_question_by_gap", "gap_question", ["gap_id", "asked_us"])
    op.create_index("gap_question_by_time", "gap_question", ["asked_us"])
