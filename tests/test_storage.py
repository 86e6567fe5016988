"""The database file: group commit, isolation of failures, migrations, errors that say which file."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from penstock.errors import StorageError, StorageFull
from penstock.storage import migrate
from penstock.storage.sqlite import SqliteDatabase

FIRST = """
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
"""
SECOND = """
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.execute("ALTER TABLE item ADD COLUMN size INTEGER NOT NULL DEFAULT 0")
"""


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "migrations" / "items"
    folder.mkdir(parents=True)
    (folder / "0001_items.py").write_text(FIRST)
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    return folder


@pytest.fixture
def database(tmp_path: Path, migrations: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "items.db", "items")
    yield database
    database.close()


def add(name: str) -> "object":
    return lambda connection: connection.execute(text("INSERT INTO item (name) VALUES (:n)"), {"n": name})


def names(database: SqliteDatabase) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT name FROM item ORDER BY id")).scalars())


async def test_a_failing_write_costs_only_its_caller(database: SqliteDatabase) -> None:
    results = await asyncio.gather(
        *(database.write(add(name)) for name in ["a", "b", "a", "c"]),  # type: ignore[arg-type]
        return_exceptions=True,
    )
    assert names(database) == ["a", "b", "c"]
    assert [isinstance(result, StorageError) for result in results] == [False, False, True, False]
    assert "UNIQUE" in str(results[2])


async def test_an_exception_of_the_caller_comes_back_as_it_is(database: SqliteDatabase) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO item (name) VALUES ('half')"))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await database.write(fail)
    assert names(database) == []


def test_closing_commits_what_waits(database: SqliteDatabase) -> None:
    futures = [database.submit(add(str(n))) for n in range(500)]  # type: ignore[arg-type]
    database.close()
    assert all(future.done() for future in futures)
    with sqlite3.connect(database.path) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (500,)
    with pytest.raises(StorageError, match=r"items\.db is closed"):
        database.submit(add("late"))  # type: ignore[arg-type]


async def test_a_reader_sees_one_consistent_state(database: SqliteDatabase) -> None:
    with database.read() as connection:
        before = connection.execute(text("SELECT count(*) FROM item")).scalar()
        await database.write(add("new"))  # type: ignore[arg-type]
        assert connection.execute(text("SELECT count(*) FROM item")).scalar() == before
    assert names(database) == ["new"]


def test_what_the_driver_itself_refuses_is_said_as_such(database: SqliteDatabase) -> None:
    with pytest.raises(StorageError, match=r"items\.db: no such table: nowhere"), database.read() as connection:
        connection.connection.driver_connection.execute("SELECT 1 FROM nowhere")  # type: ignore[union-attr]


async def test_a_full_disk_is_said_as_such(database: SqliteDatabase) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.execute(text(f"PRAGMA max_page_count={pages}"))

    def fill(connection: Connection) -> None:
        for n in range(1000):
            connection.execute(text("INSERT INTO item (name) VALUES (:n)"), {"n": f"{n}" * 500})

    await database.write(limit)
    with pytest.raises(StorageFull, match=r"disk is full: .*items\.db cannot grow\. Free some space"):
        await database.write(fill)
    assert names(database) == []


def test_migrations_run_up_and_keep_the_data(tmp_path: Path, migrations: Path) -> None:
    first = SqliteDatabase(tmp_path / "items.db", "items")
    first.submit(add("old")).result()  # type: ignore[arg-type]
    first.close()
    (migrations / "0002_size.py").write_text(SECOND)
    second = SqliteDatabase(tmp_path / "items.db", "items")
    with second.read() as connection:
        assert connection.execute(text("SELECT name, size FROM item")).one() == ("old", 0)
    second.close()
    (migrations / "0002_size.py").unlink()
    with pytest.raises(StorageError, match="written by a newer Penstock"):
        SqliteDatabase(tmp_path / "items.db", "items")


def test_a_file_that_is_no_database_is_said_as_such(tmp_path: Path, migrations: Path) -> None:
    (tmp_path / "items.db").write_bytes(b"not a database, really" * 100)
    with pytest.raises(StorageError, match=r"items\.db: file is not a database"):
        SqliteDatabase(tmp_path / "items.db", "items")


def test_the_file_is_in_wal_mode(database: SqliteDatabase) -> None:
    engine = create_engine(f"sqlite:///{database.path}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
