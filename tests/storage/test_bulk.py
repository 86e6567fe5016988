"""Many rows in few statements: every row arrives once, whatever their number."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from penstock.errors import StorageError
from penstock.storage import migrate
from penstock.storage.bulk import BulkInsert, sizes
from penstock.storage.database import Database
from penstock.storage.location import open_database

ITEMS = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("item", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text))
"""
COLUMNS = ["id", "name"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    (tmp_path / "migrations" / "items").mkdir(parents=True)
    (tmp_path / "migrations" / "items" / "0001_items.py").write_text(ITEMS)
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    location = tmp_path if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    database = open_database(location, "items")
    yield database
    database.close()


def stored(database: Database) -> list[tuple[int, str | None]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT id, name FROM item ORDER BY id"))]


@given(rows=st.integers(0, 5000), exponent=st.integers(0, 8))
def test_statements_are_few_and_hold_all_rows(rows: int, exponent: int) -> None:
    most = 1 << exponent
    found = list(sizes(rows, most))
    assert sum(found) >= rows > sum(found[:-1]) or rows == 0 == len(found)
    assert all(size <= most and size.bit_count() == 1 for size in found)
    assert len(found) <= rows // most + 5


async def test_rows_of_every_number_arrive_once(database: Database) -> None:
    insert, expected = BulkInsert("item", COLUMNS), []
    for number in [0, 1, 2, 3, 7, 8, 100, 255, 256, 257, 1000]:
        rows = [(len(expected) + n, None if n % 3 else f"naïve '{n}'\n\\.") for n in range(number)]
        await database.write(lambda connection, rows=rows: insert(connection, rows))
        expected += rows
    assert stored(database) == expected


async def test_a_row_that_is_refused_leaves_nothing_of_its_write(database: Database) -> None:
    insert = BulkInsert("item", COLUMNS)
    await database.write(lambda connection: insert(connection, [(1, "first")]))
    with pytest.raises(StorageError, match=r"(?i)unique"):
        await database.write(lambda connection: insert(connection, [(2, "new"), (1, "again")]))
    assert stored(database) == [(1, "first")]


async def test_known_rows_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "migrations" / "items").mkdir(parents=True)
    (tmp_path / "migrations" / "items" / "0001_items.py").write_text(ITEMS)
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    database = open_database(tmp_path, "items")
    insert = BulkInsert("item", COLUMNS, ignore_known=True)
    await database.write(lambda connection: insert(connection, [(1, "first"), (2, "second")]))
    await database.write(lambda connection: insert(connection, [(2, "other"), (3, "third"), (3, "twice")]))
    assert stored(database) == [(1, "first"), (2, "second"), (3, "third")]
    database.close()
