"""Traces, their spans, what people thought of the answers, and a text index over the questions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite makes only an INTEGER key the row's own number


def upgrade() -> None:
    op.create_table(
        "trace",
        sa.Column("key", BIG, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("release_id", sa.Text, nullable=False),
        sa.Column("knowledge", sa.Text),
        sa.Column("generation", sa.Integer),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("duration_us", sa.BigInteger, nullable=False),
        sa.Column("first_chunk_us", sa.BigInteger),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("cached_input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("reasoning_tokens", sa.Integer),
        sa.Column("cost_nanos", sa.BigInteger),
        sa.Column("answered", sa.Boolean(create_constraint=False)),
        sa.Column("score", sa.Float),
        sa.Column("question", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("session", sa.Text),
    )
    op.create_index("trace_id", "trace", ["project_id", "id"], unique=True)
    op.create_index("trace_by_time", "trace", ["project_id", "key", "duration_us"])
    op.create_index("trace_by_model", "trace", ["project_id", "model", "key"])
    op.create_index("trace_by_release", "trace", ["project_id", "release_id", "key"])
    for name, columns, rare in (
        ("trace_by_status", ["project_id", "status", "key"], "status <> 'ok'"),
        ("trace_unanswered", ["project_id", "key"], "answered = 0"),
        ("trace_judged", ["project_id", "key"], "score IS NOT NULL"),
        ("trace_by_user", ["project_id", "user", "key"], "user IS NOT NULL"),
        ("trace_by_session", ["project_id", "session", "key"], "session IS NOT NULL"),
    ):
        op.create_index(name, "trace", columns, sqlite_where=sa.text(rare), postgresql_where=sa.text(rare))
    op.create_table(
        "span",
        sa.Column("number", BIG, primary_key=True, autoincrement=True),
        sa.Column("trace_key", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("duration_us", sa.BigInteger, nullable=False),
        sa.Column("attributes", sa.LargeBinary, nullable=False),
    )
    op.create_index("span_by_trace", "span", ["trace_key", "id"], unique=True)
    op.create_table(
        "feedback",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("trace_key", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "trace_key", "name", "user"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE trace_text USING fts5"
            "(question, content='trace', content_rowid='key', tokenize='trigram')"
        )
