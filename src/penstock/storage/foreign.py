"""Databases that are not Penstock's own and are only read: their addresses, and what they say when they fail."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from penstock.errors import ConfigError

LONGEST = 300


def foreign_address(title: str, url: str, root: Path) -> URL:
    """Where `url` leads, with the driver that Penstock uses. A SQLite file, relative to `root`, is opened only for
    reading, and never made.

    `title` is what messages call the database's table of the configuration. Raises `ConfigError`, which does not
    repeat the address: it may hold a password.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        raise no_address(title) from None
    backend = address.get_backend_name()
    if backend == "sqlite":
        if address.database in (None, "", ":memory:"):
            raise no_address(title)
        file = quote(str(root / str(address.database)))
        return URL.create("sqlite", database=f"file:{file}", query={"mode": "ro", "uri": "true"})
    if backend in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    return address


def no_address(title: str) -> ConfigError:
    return ConfigError(
        f"The database of {title} has no address that can be used.",
        hint="Write one such as postgresql://user:password@host/name or sqlite:///data.db.",
    )


def no_driver(title: str, address: URL, error: Exception) -> ConfigError:
    """For what `create_engine` raises where a driver is missing."""
    is_postgres = address.get_backend_name() == "postgresql"
    return ConfigError(
        f"The database of {title} needs a driver that is not installed: {error}.",
        hint="pip install 'penstock[postgres]'" if is_postgres else "Install its driver for SQLAlchemy.",
    )


def reason_of(error: SQLAlchemyError) -> str:
    """The first line of what the database says, without the statement."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    return said.splitlines()[0][:LONGEST].rstrip(".") if said else "the connection was lost"
