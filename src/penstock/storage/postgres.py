"""A schema of a PostgreSQL database, for several processes and machines that share what they know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from penstock.errors import ConfigError, PenstockError, StorageError, StorageFull, Unavailable
from penstock.storage.database import Database
from penstock.storage.migrate import LOCK

DISK_FULL = "53100"
PASSING = frozenset({"40001", "40P01"})
"""SQLSTATEs of a transaction that met another: could not serialise, deadlock."""
CONNECT_SECONDS = 10


class PostgresDatabase(Database):
    """One schema of the database at `url` (`postgresql://user:password@host:5432/name`), made when it is missing.

    Every connection finds its tables by the search path, so that statements name no schema. A group of writes
    that deadlocks with another process's is run again, one by one.
    """

    def __init__(self, url: str, schema: str, *, durable: bool = True) -> None:
        address = address_of(url)
        self._place = f"{address.host or 'localhost'}:{address.port or 5432}/{address.database or ''}"
        engine = self._engine_for(address, schema, durable)
        try:
            with engine.connect() as connection, connection.begin():
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
                connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        except DBAPIError as error:
            raise self.explain(error) from error
        super().__init__(engine, schema, f"the {schema} schema of PostgreSQL at {self._place}")

    def _engine_for(self, address: URL, schema: str, durable: bool) -> Engine:
        settings = f"-csearch_path={schema} -csynchronous_commit={'on' if durable else 'off'} -ctimezone=UTC"
        try:
            return create_engine(
                address,
                pool_size=4,
                max_overflow=16,
                pool_pre_ping=True,
                connect_args={
                    "options": settings,
                    "connect_timeout": CONNECT_SECONDS,
                    "application_name": f"penstock {schema}",
                },
            )
        except ImportError as error:
            raise ConfigError(
                "PostgreSQL needs its driver, which is not installed.",
                hint="Install it with: pip install 'penstock[postgres]'",
            ) from error

    def hold(self) -> AdvisoryLocks:
        """Locks that other processes see, and that end with this one, however that ends."""
        return AdvisoryLocks(self._engine, self.explain)

    def _lost_transaction(self, connection: Connection, error: Exception) -> bool:
        return connection.invalidated

    def _passes(self, error: Exception) -> bool:
        return isinstance(error, DBAPIError) and sqlstate(error) in PASSING

    def explain(self, error: DBAPIError) -> PenstockError:
        return explained(error, self._place, "the address in the environment variable of [database] url")


def explained(error: DBAPIError, place: str, named_by: str) -> PenstockError:
    """A driver's error as one of ours; `named_by` says where the configuration has the address."""
    reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    if sqlstate(error) == DISK_FULL:
        return StorageFull(f"The disk of PostgreSQL at {place} is full.", hint="Free some space and try again.")
    if isinstance(error, OperationalError) and (error.connection_invalidated or sqlstate(error) is None):
        return Unavailable(
            f"PostgreSQL at {place} cannot be reached: {reason}", hint=f"Check that it runs, and {named_by}."
        )
    return StorageError(f"PostgreSQL at {place}: {reason}")


class AdvisoryLocks:
    """Numbers, each held by one process at a time; a session of its own holds them (PostgreSQL's advisory locks).

    Methods raise what `explain` makes of the driver's error.
    """

    def __init__(self, engine: Engine, explain: Callable[[DBAPIError], PenstockError]) -> None:
        self._engine = engine
        self._explain = explain
        self._connection: Connection | None = None

    def take(self, space: int, number: int) -> bool:
        """Whether the number is now held here; false while another process has it."""
        return bool(self._run(f"SELECT pg_try_advisory_lock({space}, {number})"))

    def give_back(self, space: int, number: int) -> None:
        self._run(f"SELECT pg_advisory_unlock({space}, {number})")

    def kept(self) -> bool:
        """Whether the session is still the one that took the locks; if not, all of them are lost."""
        if self._connection is None:
            return False
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Gives all numbers back."""
        if self._connection is not None:
            self._connection.invalidate()  # back in the pool, the session would go on holding them
            self._connection.close()
            self._connection = None

    def _run(self, statement: str) -> Any:
        try:
            if self._connection is None:
                connection = self._engine.connect()
                self._connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            return self._connection.exec_driver_sql(statement).scalar()
        except DBAPIError as error:
            self.close()
            raise self._explain(error) from error


def address_of(url: str) -> URL:
    """The address, to be reached with psycopg 3. Raises `ConfigError`, which never shows the password."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or address.drivername.partition("+")[0] not in ("postgresql", "postgres"):
        raise ConfigError(
            "The address of the database is not one of PostgreSQL.",
            hint="It looks like postgresql://user:password@host:5432/name.",
        )
    return address.set(drivername="postgresql+psycopg")


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's five letters for what happened; `None` where there was no answer."""
    state: Any = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None
