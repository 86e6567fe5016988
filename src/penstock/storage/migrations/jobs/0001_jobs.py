"""Background work that outlives a process; files that were sent; batches with their lines and results."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "file",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger),
    )
    op.create_index("file_by_project", "file", ["project_id", "id"])
    op.create_index("file_by_end", "file", ["expires_us"])
    op.create_table(
        "batch",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("principal", sa.LargeBinary, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("input_file_id", sa.Text, nullable=False),
        sa.Column("completion_window", sa.Text, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("output_seconds", sa.BigInteger),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("errors", sa.LargeBinary),
        sa.Column("output_file_id", sa.Text),
        sa.Column("error_file_id", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("completed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("in_progress_us", sa.BigInteger),
        sa.Column("finalizing_us", sa.BigInteger),
        sa.Column("completed_us", sa.BigInteger),
        sa.Column("failed_us", sa.BigInteger),
        sa.Column("expired_us", sa.BigInteger),
        sa.Column("cancelling_us", sa.BigInteger),
        sa.Column("cancelled_us", sa.BigInteger),
        sa.Column("upstream", sa.LargeBinary),
    )
    op.create_index("batch_by_project", "batch", ["project_id", "id"])
    op.create_index("batch_by_input", "batch", ["input_file_id"])
    op.create_table(
        "batch_line",
        sa.Column("batch_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("batch_line_by_state", "batch_line", ["batch_id", "state", "number"])
    op.create_table(
        "batch_result",
        sa.Column("batch_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("is_error", sa.Boolean, nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
    )
