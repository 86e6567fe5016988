"""Reading LiteLLM's PostgreSQL database. Nothing in it is changed."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from penstock.errors import ConfigError, Unavailable

KEYS, TEAMS, BUDGETS, MODELS = (
    "LiteLLM_VerificationToken",
    "LiteLLM_TeamTable",
    "LiteLLM_BudgetTable",
    "LiteLLM_ProxyModelTable",
)
OTHERS = (
    "LiteLLM_UserTable",
    "LiteLLM_OrganizationTable",
    "LiteLLM_ProjectTable",
    "LiteLLM_EndUserTable",
    "LiteLLM_TeamMembership",
    "LiteLLM_TagTable",
    "LiteLLM_MCPServerTable",
    "LiteLLM_CredentialsTable",
    "LiteLLM_GuardrailsTable",
    "LiteLLM_Config",
)
CONNECT_SECONDS = 10
LIBPQ = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "options", "target_session_attrs"}
)
"""What the driver knows of an address's query; the rest is Prisma's, such as `connection_limit`."""
Row = dict[str, Any]


class Rows(Struct, frozen=True):
    """Whole rows by column; `others` counts those of tables that are not read. `schema` is where they are."""

    keys: tuple[Row, ...]
    teams: tuple[Row, ...]
    budgets: tuple[Row, ...]
    models: tuple[Row, ...]
    others: dict[str, int]


def read_database(url: str) -> Rows:
    """Raises `ConfigError` for a wrong address, `Unavailable` where no such database answers."""
    try:
        given = make_url(url)
        schema = str(given.query.get("schema", "public"))
        query = {name: value for name, value in given.query.items() if name in LIBPQ}
        address = given.set(drivername="postgresql+psycopg", query=query)
        engine = create_engine(address, connect_args={"connect_timeout": CONNECT_SECONDS})
    except ImportError:
        raise ConfigError(
            "PostgreSQL needs its driver, which is not installed.",
            hint="Install it with: pip install 'penstock[postgres]'",
        ) from None
    except (ArgumentError, ValueError):
        raise ConfigError(
            "The address of the database is not one.", hint="Write postgresql://user:password@host:5432/name."
        ) from None
    try:
        with engine.connect() as connection:
            return read(connection, schema)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()
        raise Unavailable(
            f"LiteLLM's database cannot be read: {reason[0] if reason else 'it does not answer'}.",
            hint="Give the address that LiteLLM has in DATABASE_URL.",
        ) from None
    finally:
        engine.dispose()


def read(connection: Connection, schema: str) -> Rows:
    there = set(inspect(connection).get_table_names(schema=schema))
    if KEYS not in there:
        raise ConfigError(
            f"The database has no table {KEYS} in its schema {schema!r}, so it is not LiteLLM's.",
            hint="Give the address that LiteLLM has in DATABASE_URL.",
        )
    rows = {
        name: whole(connection, schema, name) if name in there else () for name in (KEYS, TEAMS, BUDGETS, MODELS)
    }
    others = {name: count(connection, schema, name) for name in OTHERS if name in there}
    return Rows(rows[KEYS], rows[TEAMS], rows[BUDGETS], rows[MODELS], {key: n for key, n in others.items() if n})


def whole(connection: Connection, schema: str, name: str) -> tuple[Row, ...]:
    order = {KEYS: "token", TEAMS: "team_id", BUDGETS: "budget_id", MODELS: "model_id"}[name]
    statement = f'SELECT * FROM {quoted(schema)}."{name}" ORDER BY "{order}"'  # noqa: S608 -- names of this module
    return tuple(dict(row) for row in connection.execute(text(statement)).mappings())


def count(connection: Connection, schema: str, name: str) -> int:
    statement = f'SELECT count(*) FROM {quoted(schema)}."{name}"'  # noqa: S608 -- names of this module
    return int(connection.execute(text(statement)).scalar_one())


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
