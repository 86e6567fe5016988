"""Where databases are: files in the data folder, or schemas of one PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from penstock.storage.database import Database


def open_database(location: Path | str, schema: str, *, durable: bool = True) -> Database:
    """Opens or creates the database of `schema`, and brings it up to date.

    `location` is a folder, for the SQLite file `SCHEMA.db` in it, or the address of a PostgreSQL database
    (`postgresql://…`). Raises `ConfigError`, `StorageError`, `StorageFull` or `Unavailable`.
    """
    if isinstance(location, Path):
        from penstock.storage.sqlite import SqliteDatabase

        return SqliteDatabase(location / f"{schema}.db", schema, durable=durable)
    from penstock.storage.postgres import PostgresDatabase

    return PostgresDatabase(location, schema, durable=durable)
