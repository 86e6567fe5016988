"""A table of PostgreSQL with pgvector, which keeps projects and readers apart by itself (row-level security)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from penstock.errors import ConfigError, PenstockError
from penstock.knowledge.stores.external import clauses
from penstock.knowledge.stores.external.base import FoundPoint, StoredPoint, Wanted
from penstock.knowledge.stores.external.clauses import Clause, Has, Range
from penstock.knowledge.values import EVERYTHING, Reader

T = TypeVar("T")

SCHEMA = "penstock_vectors"
READER = "penstock_reader"
"""A role without rights of its own, for connections whose own role would pass by row-level security."""
BETWEEN = "\x1f"
LARGEST_VECTOR, LARGEST_HALF = 2000, 4000
"""Dimensions that an HNSW index of pgvector can have, in 32 and in 16 bits."""
ORDERS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
LOCK = 5_072_010


class PgVectorTable:
    """`Backend` on one table. `explain` makes one of our errors of the driver's."""

    def __init__(
        self, engine: Engine, name: str, project_id: str, explain: Callable[[DBAPIError], PenstockError]
    ) -> None:
        self._engine = engine
        self._table = f'{SCHEMA}."{name}"'
        self._name = name
        self._project = project_id
        self._explain = explain
        self._bypasses = False
        self._type = "vector"

    async def open(self, dimensions: int) -> None:
        """Makes the table when it is missing. Raises `ConfigError` where pgvector is not installed."""
        self._type = "vector" if dimensions <= LARGEST_VECTOR else "halfvec"
        await asyncio.to_thread(self._open, dimensions)

    def _open(self, dimensions: int) -> None:
        with self._connect(EVERYTHING, as_reader=False) as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            self._extension(connection)
            self._bypasses = bool(
                connection.execute(
                    text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
                ).scalar()
            )
            for statement in self._statements(dimensions):
                connection.execute(text(statement))

    def _extension(self, connection: Connection) -> None:
        if connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).scalar():
            return
        if not connection.execute(text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")).scalar():
            raise ConfigError(
                "This PostgreSQL has no pgvector.", hint="Install the extension 'vector' (pgvector 0.8 or newer)."
            )
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))

    def _statements(self, dimensions: int) -> Iterator[str]:
        table, name = self._table, self._name
        yield f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"
        yield (
            f"CREATE TABLE IF NOT EXISTS {table} (project_id text NOT NULL, row bigint NOT NULL,"
            f" vector {self._type}({dimensions}) NOT NULL, words text[] NOT NULL, readers text[] NOT NULL,"
            " numbers jsonb NOT NULL, added integer NOT NULL, removed bigint NOT NULL, about text NOT NULL,"
            " PRIMARY KEY (project_id, row))"
        )
        if dimensions <= LARGEST_HALF:
            yield (
                f'CREATE INDEX IF NOT EXISTS "{name}_near" ON {table}'
                f" USING hnsw (vector {self._type}_cosine_ops) WITH (m = 16, ef_construction = 100)"
            )
        yield f'CREATE INDEX IF NOT EXISTS "{name}_words" ON {table} USING gin (words)'
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
        yield f"DROP POLICY IF EXISTS penstock ON {table}"
        yield (
            f"CREATE POLICY penstock ON {table} USING (project_id = current_setting('penstock.project', true)"
            " AND (current_setting('penstock.tags', true) = '*' OR readers = '{}'"
            f" OR readers && string_to_array(current_setting('penstock.tags', true), E'\\x1f')))"
        )
        if self._bypasses:
            yield (
                f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}')"
                f" THEN CREATE ROLE {READER} NOLOGIN; END IF; END $$"
            )
            yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {READER}"
            yield f"GRANT SELECT ON {table} TO {READER}"

    async def write(self, points: Sequence[StoredPoint]) -> None:
        rows = [
            {
                "project": self._project,
                "row": point.row,
                "vector": literal(point.vector),
                "words": point.words,
                "readers": list(point.readers),
                "numbers": msgspec.json.encode(point.numbers).decode(),
                "added": int(point.numbers[clauses.ADDED]),
                "removed": int(point.numbers[clauses.REMOVED]),
                "about": point.about,
            }
            for point in points
        ]
        insert = text(
            f"INSERT INTO {self._table} (project_id, row, vector, words, readers, numbers, added, removed, about)"  # noqa: S608
            f" VALUES (:project, :row, CAST(:vector AS {self._type}), :words, :readers, CAST(:numbers AS jsonb),"
            " :added, :removed, :about) ON CONFLICT (project_id, row) DO UPDATE SET vector = excluded.vector,"
            " words = excluded.words, readers = excluded.readers, numbers = excluded.numbers,"
            " added = excluded.added, removed = excluded.removed, about = excluded.about"
        )
        await self._run(lambda connection: connection.execute(insert, rows))

    async def set_removed(self, rows: Sequence[int], generation: int) -> None:
        chosen = "project_id = :project AND row = ANY(:rows)"
        update = text(f"UPDATE {self._table} SET removed = :generation WHERE {chosen}")  # noqa: S608
        names = {"generation": generation, "project": self._project, "rows": list(rows)}
        await self._run(lambda connection: connection.execute(update, names))

    async def delete(self, rows: Sequence[int]) -> None:
        delete = text(f"DELETE FROM {self._table} WHERE project_id = :project AND row = ANY(:rows)")  # noqa: S608
        names = {"project": self._project, "rows": list(rows)}
        await self._run(lambda connection: connection.execute(delete, names))

    async def query(self, vector: NDArray[np.float32], k: int, wanted: Wanted) -> list[FoundPoint]:
        names: dict[str, Any] = {"vector": literal(vector), "k": k, "project": self._project}
        where = condition(wanted.clause, names)
        near = f"vector <=> CAST(:vector AS {self._type})"
        select = text(
            f"SELECT row, 1 - ({near}), about FROM {self._table}"  # noqa: S608
            f" WHERE project_id = :project AND {where} ORDER BY {near} LIMIT :k"
        )

        def work(connection: Connection) -> list[FoundPoint]:
            # Without it a filtered scan of the index ends after the nearest few, however many of them match.
            connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
            connection.execute(text("SET LOCAL hnsw.max_scan_tuples = 2000000000"))
            connection.execute(text(f"SET LOCAL hnsw.ef_search = {max(100, min(k, 1000))}"))
            found = connection.execute(select, names)
            return [FoundPoint(row, float(cosine), about) for row, cosine, about in found]

        return await self._run(work, wanted.reader)

    async def vectors(self, rows: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        select = text(
            f"SELECT row, CAST(vector AS text) FROM {self._table} WHERE project_id = :project AND row = ANY(:rows)"  # noqa: S608
        )
        names = {"project": self._project, "rows": list(rows)}
        found = await self._run(lambda connection: connection.execute(select, names).all())
        return {row: np.array(msgspec.json.decode(vector), dtype=np.float32) for row, vector in found}

    async def read(self, rows: Sequence[int]) -> list[StoredPoint]:
        select = text(
            "SELECT row, CAST(vector AS text) AS vector, words, readers, CAST(numbers AS text) AS numbers, added,"  # noqa: S608
            f" removed, about FROM {self._table} WHERE project_id = :project AND row = ANY(:rows)"
        )
        names = {"project": self._project, "rows": list(rows)}
        found = await self._run(lambda connection: connection.execute(select, names).all())
        return [
            StoredPoint(
                row=each.row,
                vector=np.array(msgspec.json.decode(each.vector), dtype=np.float32),
                words=each.words,
                # What generations are told by are columns of their own.
                numbers=msgspec.json.decode(each.numbers)
                | {clauses.ADDED: float(each.added), clauses.REMOVED: float(each.removed)},
                readers=tuple(each.readers),
                about=each.about,
            )
            for each in found
        ]

    async def list_rows(self, clause: Clause) -> list[int]:
        names: dict[str, Any] = {"project": self._project}
        select = text(
            f"SELECT row FROM {self._table} WHERE project_id = :project AND {condition(clause, names)}"  # noqa: S608
        )
        return await self._run(lambda connection: [row for (row,) in connection.execute(select, names)])

    async def clear(self) -> None:
        delete = text(f"DELETE FROM {self._table} WHERE project_id = :project")  # noqa: S608
        await self._run(lambda connection: connection.execute(delete, {"project": self._project}))

    async def close(self) -> None:
        await asyncio.to_thread(self._engine.dispose)

    async def _run(self, work: Callable[[Connection], T], reader: Reader | None = None) -> T:
        """`work` in a transaction that sees what `reader` may find; without one it maintains the table."""

        def run() -> T:
            with self._connect(reader or EVERYTHING, as_reader=reader is not None) as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    @contextmanager
    def _connect(self, reader: Reader, *, as_reader: bool) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                tags = "*" if reader.tags is None else BETWEEN.join(reader.tags)
                connection.execute(
                    text(
                        "SELECT set_config('penstock.project', :project, true),"
                        " set_config('penstock.tags', :tags, true)"
                    ),
                    {"project": self._project, "tags": tags},
                )
                if as_reader and self._bypasses:
                    connection.execute(text(f"SET LOCAL ROLE {READER}"))
                yield connection
        except DBAPIError as error:
            raise self._explain(error) from error


def literal(vector: NDArray[np.float32]) -> str:
    return f"[{','.join(map(repr, vector.tolist()))}]"


def condition(clause: Clause, names: dict[str, Any]) -> str:
    """The clause in SQL; its values are added to `names`."""
    match clause:
        case Has(word, wanted):
            held = f"words @> CAST({bound([word], names)} AS text[])"
            return held if wanted else f"NOT {held}"
        case Range(name, order, value):
            own = (
                name
                if name in (clauses.ADDED, clauses.REMOVED)
                else f"CAST(numbers ->> {bound(name, names)} AS double precision)"
            )
            return f"coalesce({own} {ORDERS[order]} {bound(value, names)}, false)"
        case clauses.All(parts):
            return f"({' AND '.join(condition(part, names) for part in parts)})"
        case clauses.Any(parts):
            return f"({' OR '.join(condition(part, names) for part in parts)})"


def bound(value: object, names: dict[str, Any]) -> str:
    """A placeholder for a value that goes to the database beside the statement."""
    name = f"v{len(names)}"
    names[name] = value
    return f":{name}"
