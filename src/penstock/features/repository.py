"""The row of a query about one person. Only reading, whatever it says; values are bound, never formatted."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from penstock.errors import ConfigError, UpstreamFailed

CONNECTIONS = 4
"""Of one source; whoever would need another waits, and is late."""


class FactQuery:
    """One SELECT. `seconds` is how long a statement may run where the database can be told."""

    def __init__(self, name: str, url: str, query: str, root: Path, seconds: float) -> None:
        """`name` is what messages call it, `root` what the path of a SQLite file is relative to.

        Raises `ConfigError` for an address that cannot be used.
        """
        self._name = name
        self._query = text(query)
        self._engine = self._open(url, root, seconds)

    @property
    def wanted(self) -> Mapping[str, str]:
        """What the query needs to know of who asks."""
        return {name: name for name in self._query.compile().params}

    def row(self, values: Mapping[str, str]) -> Any:
        """The first row: its only value, or values by column; `None` for no row. Raises `UpstreamFailed`."""
        try:
            with self._engine.connect() as connection:
                row = connection.execute(self._query, values).first()
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0][:200].rstrip(".")
            raise UpstreamFailed(f"The query of {self._name} failed: {reason}.") from None
        if row is None:
            return None
        found = {column: plain(value) for column, value in row._asdict().items()}
        return next(iter(found.values())) if len(found) == 1 else found

    def close(self) -> None:
        self._engine.dispose()

    def _open(self, url: str, root: Path, seconds: float) -> Engine:
        try:
            address = make_url(url)
        except ArgumentError:
            raise self._no_address() from None
        backend = address.get_backend_name()
        if backend == "sqlite":
            return sqlite_engine(root / (address.database or ""), seconds)
        if backend not in ("postgresql", "postgres"):
            raise self._no_address()
        try:
            engine = create_engine(
                address.set(drivername="postgresql+psycopg"),
                pool_size=CONNECTIONS,
                max_overflow=0,
                pool_timeout=seconds,
                pool_pre_ping=True,
                connect_args={"options": f"-cstatement_timeout={max(1, int(seconds * 1000))}"},
            )
        except ImportError as error:
            raise ConfigError(
                f"The database of {self._name} needs a driver that is not installed: {error}.",
                hint="Install it with: pip install 'penstock[postgres]'",
            ) from None
        return engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True)

    def _no_address(self) -> ConfigError:
        return ConfigError(
            f"The database of {self._name} has no address that can be used.",
            hint="Write one such as postgresql://user:password@host/name or sqlite:///data.db.",
        )


def sqlite_engine(file: Path, seconds: float) -> Engine:
    """Opens a file that exists, and only for reading."""
    address = f"file:{quote(str(file))}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, timeout=seconds, check_same_thread=False)

    return create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=seconds,
    )


def plain(value: Any) -> Any:
    """A value that JSON and templates know."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, (str, bool, int, float, list, dict)) or value is None else str(value)
