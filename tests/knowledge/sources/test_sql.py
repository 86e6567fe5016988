"""Rows of a query: all of them or none, texts read again only where they changed, and readers per row."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.errors import BodyTooLarge, ConfigError, NotFound, UpstreamFailed
from penstock.knowledge.sources.base import SourceRules
from penstock.knowledge.sources.repository import QueryDatabase
from penstock.knowledge.sources.sql import NOBODY, SqlOptions, SqlSource, later

RULES = SourceRules(metadata={"team": "hr"}, readers=("group:hr",))
PLAIN = SqlOptions(key="id", text="body")
FULL = SqlOptions(
    key="id",
    text="body",
    format="markdown",
    title="title",
    link="link",
    updated="changed",
    metadata_columns=("year", "lang"),
    readers_column="readers",
)


class Table:
    """A table of articles in a SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run(
            "CREATE TABLE article (id INTEGER, title TEXT, body TEXT, link TEXT, changed TEXT, year INTEGER,"
            " lang TEXT, readers TEXT)"
        )
        for number in range(1, 7):
            self.run(
                "INSERT INTO article VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                number,
                f"Article {number}",
                f"Text {number}",
                f"https://example.com/{number}",
                f"2026-01-0{number}",
                2020 + number,
                "en" if number % 2 else None,
                "group:hr, group:it" if number % 2 else None,
            )

    def run(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.folder / "articles.db") as connection:
            connection.execute(statement, values)

    def source(self, options: SqlOptions = PLAIN, query: str = "SELECT * FROM article") -> SqlSource:
        database = QueryDatabase("sql.articles", "sqlite:///articles.db", query, self.folder)
        return SqlSource("articles", database, options, RULES)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


async def test_each_row_is_a_document_with_all_that_its_columns_say(table: Table, tmp_path: Path) -> None:
    source = table.source(FULL)
    listing = await source.list(b"")
    assert [item.key for item in listing.items] == ["1", "2", "3", "4", "5", "6"]
    first, second, *_ = listing.items
    assert (first.title, first.url, first.kind) == ("Article 1", "https://example.com/1", "markdown")
    assert (first.version, first.size) == ("2026-01-01", 6)
    assert first.metadata == {"team": "hr", "year": 2021, "lang": "en"}
    assert first.readers == ("group:hr", "group:it")
    assert (second.metadata, second.readers) == ({"team": "hr", "year": 2022}, NOBODY)
    assert (await source.fetch(second, tmp_path)).read_text() == "Text 2"
    await source.close()


async def test_only_texts_that_changed_are_read_again_and_deleted_rows_are_gone(
    table: Table, tmp_path: Path
) -> None:
    source = table.source(FULL)
    first = await source.list(b"")
    table.run("DELETE FROM article WHERE id = 2")
    table.run("UPDATE article SET body = 'New', changed = '2026-02-01' WHERE id = 3")
    table.run("UPDATE article SET readers = 'group:it' WHERE id = 1")
    second = await source.list(first.cursor)
    assert second.gone([item.key for item in first.items]) == {"2"}
    found = {item.key: item for item in second.items}
    assert found["3"].version.startswith("2026-02-01")
    assert {key for key, item in found.items() if item.size is not None} == {"3", "6"}
    assert found["1"].readers == ("group:it",), "who may read changes without the text"
    assert (await source.fetch(found["3"], tmp_path)).read_text() == "New"
    assert (await source.fetch(found["4"], tmp_path)).read_text() == "Text 4", "asked for after all"
    await source.close()


async def test_a_row_that_changes_twice_within_one_tick_of_its_column_is_read_twice(table: Table) -> None:
    table.run("UPDATE article SET changed = NULL WHERE id = 1")
    table.run("UPDATE article SET changed = '2026-01-06' WHERE id = 5")
    source = table.source(FULL)
    first = await source.list(b"")
    table.run("UPDATE article SET body = 'New' WHERE id = 5")
    second = await source.list(first.cursor)
    same = {a.key: a.version == b.version for a, b in zip(first.items, second.items, strict=True) if a.version}
    assert same == {"2": True, "3": True, "4": True, "5": False, "6": True}
    assert first.items[0].version == "", "without a time it is read and hashed each time"
    await source.close()


def test_a_listing_sees_one_state_of_a_sqlite_file(table: Table) -> None:
    table.run("PRAGMA journal_mode = WAL")
    database = QueryDatabase("sql.articles", "sqlite:///articles.db", "SELECT * FROM article", table.folder)
    with database.reading() as reading:
        before = list(reading.rows(("id", "body")))
        table.run("UPDATE article SET body = 'New'")
        assert list(reading.rows(("id", "body"))) == before
    database.close()


def test_marks_that_cannot_be_compared_begin_anew() -> None:
    bare, zoned = datetime(2026, 1, 1), datetime(2025, 1, 1, tzinfo=UTC)  # noqa: DTZ001
    assert later(bare, zoned) == zoned
    assert later(7, "2026") == "2026"
    assert (later(zoned, None), later(2, 1), later(None, 1)) == (zoned, 2, 1)


async def test_without_a_column_for_changes_texts_are_hashed(table: Table) -> None:
    source = table.source()
    first = await source.list(b"")
    table.run("UPDATE article SET body = 'New' WHERE id = 3")
    second = await source.list(first.cursor)
    same = [a.version == b.version for a, b in zip(first.items, second.items, strict=True)]
    assert same == [True, True, False, True, True, True]
    assert second.items[0].readers == ("group:hr",)
    await source.close()


async def test_a_database_that_fails_half_way_is_no_listing(table: Table) -> None:
    query = "SELECT id, CASE WHEN id = 4 THEN abs(-9223372036854775807 - 1) ELSE body END AS body FROM article"
    source = table.source(query=query)
    with pytest.raises(
        UpstreamFailed, match=r"The query of sql\.articles failed: integer overflow\. What was taken"
    ):
        await source.list(b"")
    await source.close()


async def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    database = QueryDatabase("sql.x", "sqlite:///nowhere.db", "SELECT 1", tmp_path)
    source = SqlSource("x", database, PLAIN, RULES)
    with pytest.raises(UpstreamFailed, match="unable to open database file"):
        await source.list(b"")
    assert not (tmp_path / "nowhere.db").exists()
    await source.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SqlOptions(key="nr", text="body"), "sql.articles: the query has no column 'nr'. It has: id, title, body"),
        (SqlOptions(key="lang", text="body"), "sql.articles: the column 'lang' is no key, for it has rows without"),
        (
            SqlOptions(key="team", text="body"),
            "sql.articles: the column 'team' is no key, for it has 'a' more than",
        ),
    ],
)
async def test_wrong_columns_are_named(table: Table, options: SqlOptions, message: str) -> None:
    source = table.source(options, "SELECT *, 'a' AS team FROM article ORDER BY id DESC")
    with pytest.raises(ConfigError) as caught:
        await source.list(b"")
    assert str(caught.value).startswith(message)
    await source.close()


async def test_a_query_changes_nothing(table: Table) -> None:
    table.run("CREATE TABLE log (x)")
    source = table.source(query="DELETE FROM article RETURNING *")
    with pytest.raises(UpstreamFailed):
        await source.list(b"")
    assert len((await table.source().list(b"")).items) == 6
    await source.close()


async def test_colons_and_percents_of_a_query_are_its_own(table: Table, tmp_path: Path) -> None:
    source = table.source(
        query="SELECT id, body || ' at 10:30 %s ::x :y' AS body FROM article WHERE body LIKE 'T%'"
    )
    listing = await source.list(b"")
    assert (await source.fetch(listing.items[0], tmp_path)).read_text() == "Text 1 at 10:30 %s ::x :y"
    await source.close()


async def test_empty_large_and_vanished_rows(table: Table, tmp_path: Path) -> None:
    table.run("UPDATE article SET body = NULL WHERE id = 1")
    table.run("UPDATE article SET body = ? WHERE id = 2", "x" * 101)
    source = table.source(SqlOptions(key="id", text="body", updated="changed", max_bytes=100))
    listing = await source.list((await source.list(b"")).cursor)
    empty, large, third, *_ = listing.items
    assert (await source.fetch(empty, tmp_path)).read_bytes() == b""
    with pytest.raises(BodyTooLarge, match=r"2 of sql\.articles has more than"):
        await source.fetch(large, tmp_path)
    table.run("DELETE FROM article WHERE id = 3")
    with pytest.raises(NotFound, match="3 is no longer in the database"):
        await source.fetch(third, tmp_path)
    assert len((await source.list(b"nonsense")).items) == 5
    await source.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not an address", "The database of sql.x has no address that can be used."),
        ("sqlite://", "The database of sql.x has no address that can be used."),
        ("nonsense://u:secret@h/x", "The database of sql.x needs a driver that is not installed"),
    ],
)
def test_an_address_that_cannot_be_used_is_not_shown(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        QueryDatabase("sql.x", url, "SELECT 1", tmp_path)
    assert str(caught.value).startswith(message) and "secret" not in str(caught.value)


async def test_postgresql(postgres_url: str, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(postgres_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE article (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), body text, changed timestamptz,"
            " price numeric, readers text[])"
        )
        connection.execute(
            "INSERT INTO article (body, changed, price, readers) SELECT 'Text ' || n, '2026-01-01'::timestamptz"
            " + n * interval '1 day', n / 2.0, ARRAY['group:' || n] FROM generate_series(1, 900) n"
        )
        options = SqlOptions(
            key="id", text="body", updated="changed", metadata_columns=("price",), readers_column="readers"
        )

        def source_of(query: str) -> SqlSource:
            return SqlSource("pg", QueryDatabase("sql.pg", postgres_url, query, tmp_path), options, RULES)

        source = source_of("SELECT *, '%' AS percent FROM article WHERE changed > '2020-01-01'::timestamptz")
        first = await source.list(b"")
        one = next(item for item in first.items if item.readers == ("group:1",))
        assert len(first.items) == 900 and one.metadata == {"team": "hr", "price": 0.5}
        assert one.modified_us is not None
        second = await source.list(first.cursor)
        assert sum(item.size is not None for item in second.items) == 1
        assert [item.version for item in second.items] == [item.version for item in first.items]
        again = next(item for item in second.items if item.key == one.key)
        assert (await source.fetch(again, tmp_path)).read_text() == "Text 1"
        await source.close()
        lost = source_of(
            "SELECT id, CASE WHEN body = 'Text 700' THEN pg_terminate_backend(pg_backend_pid())::text ELSE body END"
            " AS body, changed, price, readers FROM article ORDER BY price"
        )
        with pytest.raises(UpstreamFailed, match=r"The query of sql\.pg failed: "):
            await lost.list(b"")
        await lost.close()
        cruel = source_of(
            "SELECT id, body, changed, price, readers FROM article WHERE set_config('x.y', '1', true) = '1'"
        )
        assert len((await cruel.list(b"")).items) == 900
        await cruel.close()
        writing = source_of(
            "SELECT lo_create(0)::text AS id, '' AS body, now() AS changed, 1 AS price, '' AS readers"
        )
        with pytest.raises(UpstreamFailed, match="read-only"):
            await writing.list(b"")
        await writing.close()
