"""What every database does, on SQLite and on a real PostgreSQL."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from support.postgres_server import PostgresServer

from penstock.errors import ConfigError, StorageError, Unavailable
from penstock.storage import migrate
from penstock.storage.database import Database
from penstock.storage.location import open_database

FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("item", sa.Column("name", sa.Text, primary_key=True), sa.Column("size", sa.BigInteger))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.add_column("item", sa.Column("colour", sa.Text, nullable=False, server_default="red"))
"""
Open = Callable[[], Database]


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "migrations" / "items"
    folder.mkdir(parents=True)
    (folder / "0001_items.py").write_text(FIRST)
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def opening(request: pytest.FixtureRequest, tmp_path: Path, migrations: Path) -> Iterator[Open]:
    """Opens the same database as often as it is called."""
    location = tmp_path if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened: list[Database] = []

    def once_more() -> Database:
        opened.append(open_database(location, "items"))
        assert opened[-1].dialect == request.param
        return opened[-1]

    yield once_more
    for database in opened:
        database.close()


def add(name: str, size: int = 0) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.execute(text("INSERT INTO item (name, size) VALUES (:n, :s)"), {"n": name, "s": size})

    return write


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT name FROM item ORDER BY name")).scalars())


async def test_a_failing_write_costs_only_its_caller(opening: Open) -> None:
    database = opening()
    results = await asyncio.gather(
        *(database.write(add(name)) for name in ["a", "b", "a", "c"]), return_exceptions=True
    )
    assert names(database) == ["a", "b", "c"]
    assert [isinstance(result, StorageError) for result in results] == [False, False, True, False]


async def test_an_exception_of_the_caller_comes_back_as_it_is(opening: Open) -> None:
    database = opening()

    def fail(connection: Connection) -> None:
        add("half")(connection)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await database.write(fail)
    assert names(database) == []


async def test_a_write_returns_what_it_found(opening: Open) -> None:
    database = opening()
    await database.write(add("a", 1 << 62))
    found = await database.write(lambda connection: connection.execute(text("SELECT size FROM item")).scalar())
    assert found == 1 << 62


def test_closing_commits_what_waits(opening: Open) -> None:
    database = opening()
    futures = [database.submit(add(f"{n:03d}")) for n in range(500)]
    database.close()
    assert all(future.done() for future in futures)
    assert names(opening()) == [f"{n:03d}" for n in range(500)]
    with pytest.raises(StorageError, match="is closed"):
        database.submit(add("late"))


async def test_two_that_write_the_same_row_lose_nothing(opening: Open) -> None:
    """Read, add, write, as limits do: by two processes, here two openings, each with its own writer."""
    first, second = opening(), opening()
    await first.write(add("counter"))

    def increase(connection: Connection) -> None:
        locked = "" if first.dialect == "sqlite" else " FOR UPDATE"
        size = connection.execute(text(f"SELECT size FROM item{locked}")).scalar_one()
        connection.execute(text("UPDATE item SET size = :s"), {"s": size + 1})

    await asyncio.gather(*(database.write(increase) for database in [first, second] * 200))
    with first.read() as connection:
        assert connection.execute(text("SELECT size FROM item")).scalar() == 400


async def test_a_migration_keeps_the_rows_and_runs_once_for_all_who_open(opening: Open, migrations: Path) -> None:
    database = opening()
    await database.write(add("old"))
    database.close()
    (migrations / "0002_colour.py").write_text(SECOND)
    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opening().read() as connection:
        assert connection.execute(text("SELECT name, colour FROM item")).one() == ("old", "red")
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["0002"]


async def test_a_database_of_a_newer_penstock_is_refused(opening: Open, migrations: Path) -> None:
    (migrations / "0002_colour.py").write_text(SECOND)
    opening()
    (migrations / "0002_colour.py").unlink()
    with pytest.raises(StorageError, match=r"written by a newer Penstock \(schema 0002, this one knows 0001\)"):
        opening()


def test_schemas_of_one_postgresql_do_not_mix(postgres_url: str, migrations: Path) -> None:
    (migrations.parent / "others").mkdir()
    (migrations.parent / "others" / "0001_items.py").write_text(FIRST)
    one, other = open_database(postgres_url, "items"), open_database(postgres_url, "others")
    one.submit(add("mine")).result()
    assert (names(one), names(other)) == (["mine"], [])
    one.close()
    other.close()


async def test_writes_that_deadlock_with_another_process_are_run_again(postgres_url: str, migrations: Path) -> None:
    first, second = open_database(postgres_url, "items"), open_database(postgres_url, "items")
    await first.write(add("a"))
    await first.write(add("b"))
    meeting = threading.Barrier(2)

    def crossing(one: str, other: str) -> Callable[[Connection], None]:
        tries = []

        def write(connection: Connection) -> None:
            change = text("UPDATE item SET size = size + 1 WHERE name = :n")
            connection.execute(change, {"n": one})
            tries.append(one)
            if len(tries) == 1:
                meeting.wait(10)
            connection.execute(change, {"n": other})

        return write

    await asyncio.gather(first.write(crossing("a", "b")), second.write(crossing("b", "a")))
    with first.read() as connection:
        assert connection.execute(text("SELECT size FROM item")).scalars().all() == [2, 2]
    first.close()
    second.close()


async def test_a_server_that_comes_back_is_used_again(
    postgres_server: PostgresServer, postgres_url: str, migrations: Path
) -> None:
    database = open_database(postgres_url, "items")
    await database.write(add("before"))
    postgres_server.drop_connections()
    with pytest.raises(Unavailable, match=r"PostgreSQL at .* cannot be reached"):
        await database.write(add("lost"))
    await database.write(add("after"))
    assert names(database) == ["after", "before"]
    database.close()


@pytest.mark.parametrize("url", ["mysql://root:hunter2@db/x", "not an address hunter2", "", "postgres"])
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"not one of PostgreSQL\. It looks like postgresql://") as caught:
        open_database(url, "items")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_without_its_password(migrations: Path) -> None:
    with pytest.raises(Unavailable, match=r"PostgreSQL at 127\.0\.0\.1:1/app cannot be reached") as caught:
        open_database("postgresql://me:hunter2@127.0.0.1:1/app", "items")
    assert "hunter2" not in str(caught.value)
