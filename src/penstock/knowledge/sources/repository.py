"""A database that rows are taken from as documents. Only reading, whatever the query says."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from penstock.errors import ConfigError, UpstreamFailed

BUFFER = 500
"""Rows that are read ahead."""


class Reading:
    """One state of a database, as long as it is open."""

    def __init__(self, connection: Connection, query: str) -> None:
        self._connection = connection
        self._query = query

    def columns(self) -> tuple[str, ...]:
        """What the columns of the query are called."""
        statement = text(f"SELECT * FROM ({self._query}) AS documents LIMIT 0")  # noqa: S608 - the configuration's
        return tuple(self._connection.execute(statement).keys())

    def rows(
        self, columns: Sequence[str], where: tuple[str, Literal["=", ">="], Any] | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """These columns of every row, or of those where a column compares so with a value."""
        quote_name = self._connection.dialect.identifier_preparer.quote
        names = ", ".join(map(quote_name, columns))
        condition, values = "", {}
        if where is not None:
            column, operator, value = where
            condition, values = f" WHERE {quote_name(column)} {operator} :value", {"value": value}
        statement = text(f"SELECT {names} FROM ({self._query}) AS documents{condition}")  # noqa: S608
        streamed = self._connection.execution_options(stream_results=True, max_row_buffer=BUFFER)
        for row in streamed.execute(statement, values):
            yield row._asdict()


class QueryDatabase:
    """A query of the configuration, as a table that further queries choose from."""

    def __init__(self, name: str, url: str, query: str, root: Path) -> None:
        """`name` is what messages call it, `root` what the path of a SQLite file is relative to.

        Raises `ConfigError` for an address that cannot be used.
        """
        self._name = name
        self.digest = hashlib.sha256(query.encode()).hexdigest()
        self._query = query.replace(":", r"\:")  # a colon is no parameter of ours
        self._engine = self._open(url, root)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One state of the database. Raises `UpstreamFailed` where it fails, whenever that is."""
        try:
            with self._engine.connect() as connection:
                yield Reading(connection, self._query)
        except DBAPIError as error:
            raise self._failed(str(error.orig)) from None
        except SQLAlchemyError as error:
            raise self._failed(str(error)) from None

    def close(self) -> None:
        self._engine.dispose()

    def _open(self, url: str, root: Path) -> Engine:
        try:
            address = make_url(url)
        except ArgumentError:
            raise ConfigError(
                f"The database of {self._name} has no address that can be used.",
                hint="Write one such as postgresql://user:password@host/name or sqlite:///data.db.",
            ) from None
        if address.get_backend_name() == "sqlite":
            return sqlite_engine(root / (address.database or ""))
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        return self._engine_of(address)

    def _engine_of(self, address: URL) -> Engine:
        try:
            engine = create_engine(address, poolclass=NullPool)
        except (NoSuchModuleError, ImportError) as error:
            postgres = address.drivername.startswith("postgres")
            hint = "pip install 'penstock[postgres]'" if postgres else "Install its driver for SQLAlchemy."
            raise ConfigError(
                f"The database of {self._name} needs a driver that is not installed: {error}.", hint=hint
            ) from None
        if engine.dialect.name == "postgresql":
            return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return engine

    def _failed(self, reason: str) -> UpstreamFailed:
        first = reason.strip().splitlines()[0][:300].rstrip(".") if reason.strip() else "the connection was lost"
        return UpstreamFailed(
            f"The query of {self._name} failed: {first}.", hint="What was taken in before is kept. Try it in psql."
        )


def sqlite_engine(file: Path) -> Engine:
    """Opens a file that exists, and only for reading."""
    address = f"file:{quote(str(file))}?mode=ro"
    engine = create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(address, uri=True))
    event.listen(engine, "begin", begin)
    return engine


def begin(connection: Connection) -> None:
    """Without it each statement would see a state of its own: the driver begins only before it writes."""
    connection.exec_driver_sql("BEGIN")
