"""A database that rows are taken from as documents. Only reading, whatever the query says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from penstock.errors import UpstreamFailed
from penstock.storage.foreign import foreign_address, no_driver, reason_of

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
        except SQLAlchemyError as error:
            raise UpstreamFailed(
                f"The query of {self._name} failed: {reason_of(error)}.",
                hint="What was taken in before is kept. Try the query by hand.",
            ) from None

    def close(self) -> None:
        self._engine.dispose()

    def _open(self, url: str, root: Path) -> Engine:
        address = foreign_address(self._name, url, root)
        try:
            engine = create_engine(address, poolclass=NullPool)
        except (NoSuchModuleError, ImportError) as error:
            raise no_driver(self._name, address, error) from None
        if engine.dialect.name == "postgresql":
            return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "begin", begin)
        return engine


def begin(connection: Connection) -> None:
    """Without it each statement would see a state of its own: the driver begins only before it writes."""
    connection.exec_driver_sql("BEGIN")
