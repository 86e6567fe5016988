"""The row of a query about one person. Only reading, whatever it says; values are bound, never formatted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from penstock.errors import UpstreamFailed
from penstock.storage.foreign import foreign_address, no_address, no_driver, reason_of

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
            raise UpstreamFailed(f"The query of {self._name} failed: {reason_of(error)}.") from None
        if row is None:
            return None
        found = {column: plain(value) for column, value in row._asdict().items()}
        return next(iter(found.values())) if len(found) == 1 else found

    def close(self) -> None:
        self._engine.dispose()

    def _open(self, url: str, root: Path, seconds: float) -> Engine:
        address = foreign_address(self._name, url, root)
        options = {"sqlite": {"timeout": seconds}, "postgresql": {"options": postgres_options(seconds)}}
        if address.get_backend_name() not in options:
            raise no_address(self._name)
        try:
            engine = create_engine(
                address,
                pool_size=CONNECTIONS,
                max_overflow=0,
                pool_timeout=seconds,
                pool_pre_ping=True,
                connect_args=options[address.get_backend_name()],
            )
        except ImportError as error:
            raise no_driver(self._name, address, error) from None
        return engine.execution_options(isolation_level="AUTOCOMMIT")


def postgres_options(seconds: float) -> str:
    """Statements are their own transactions, so that only the session can say that they just read."""
    return f"-cdefault_transaction_read_only=on -cstatement_timeout={max(1, int(seconds * 1000))}"


def plain(value: Any) -> Any:
    """A value that JSON and templates know."""
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, (str, bool, int, float, list, dict)) or value is None else str(value)
