"""Projects, keys, sessions of the console, and the record of administrative actions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEPT = "audit records are kept as they are"


def upgrade() -> None:
    op.create_table(
        "access_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("pepper_check", sa.Text),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("archived_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("project_by_version", "project", ["version"])
    op.create_table(
        "access_key",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("hash_scheme", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("routes", sa.Text, nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("last_used_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("access_key_digest", "access_key", ["hash_scheme", "digest"], unique=True)
    op.create_index("access_key_by_version", "access_key", ["version"])
    op.create_table(
        "session",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("session_by_version", "session", ["version"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
    )
    op.create_index("audit_by_project", "audit", ["project_id", "number"])
    op.bulk_insert(
        sa.table("access_state", sa.column("id", sa.Integer), sa.column("version", sa.BigInteger)),
        [{"id": 1, "version": 1}],
    )
    op.bulk_insert(
        sa.table(
            "project",
            sa.column("id", sa.Text),
            sa.column("title", sa.Text),
            sa.column("limits", sa.Text),
            sa.column("created_by", sa.Text),
            sa.column("created_us", sa.BigInteger),
            sa.column("version", sa.BigInteger),
        ),
        [{"id": "local", "title": "This server", "limits": "[]", "created_by": "", "created_us": 0, "version": 1}],
    )
    op.bulk_insert(
        sa.table(
            "audit_head",
            sa.column("id", sa.Integer),
            sa.column("number", sa.BigInteger),
            sa.column("digest", sa.Text),
        ),
        [{"id": 1, "number": 0, "digest": ""}],
    )
    append_only(op.get_bind().dialect.name)


def append_only(dialect: str) -> None:
    """The database itself refuses to change or delete a record."""
    if dialect == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{action.lower()} BEFORE {action} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{KEPT}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_is_kept()"
    )
