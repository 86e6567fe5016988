"""Brings a database up to the newest schema. Up only; each migration is a file under `migrations/SCHEMA`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text

from penstock.errors import StorageError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x70656E73
"""The advisory lock under which one process at a time migrates a PostgreSQL database."""


def newest(schema: str) -> str:
    """The revision of a schema's newest migration: the first four characters of its file's name."""
    return max(path.name[:4] for path in (MIGRATIONS / schema).glob("[0-9]*.py"))


def current(engine: Engine) -> str | None:
    """The revision a database is at, `None` for a new one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine, schema: str) -> None:
    """Runs the migrations that a database lacks, one process at a time.

    Raises `StorageError` for a database from a newer Penstock.
    """
    target, version = newest(schema), current(engine)
    if version == target:
        return
    if version is not None and version > target:
        raise StorageError(
            f"The {schema} database was written by a newer Penstock (schema {version}, this one knows {target}).",
            hint="Upgrade Penstock, or use another data folder.",
        )
    # Alembic takes a third of a second to import, and an up-to-date database does not need it.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS / schema)])
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context = MigrationContext.configure(
            connection,
            opts={
                "fn": lambda revision, _: script._upgrade_revs(target, revision),
                "transaction_per_migration": False,
            },
        )
        with Operations.context(context):
            context.run_migrations()
