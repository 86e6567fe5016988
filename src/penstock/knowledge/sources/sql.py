"""Rows of a query, each a document.

Every listing asks for all keys, for that is how deleted rows are found; the texts are read again only of rows whose
`updated` column has grown, or of all where there is none. They are spooled to a file within the one transaction of
the listing, so that a run sees one state of the database.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
from msgspec import Struct

from penstock.errors import BodyTooLarge, ConfigError, NotFound
from penstock.knowledge.filters import Value
from penstock.knowledge.sources.base import Item, Listing, SourceRules
from penstock.knowledge.sources.reach import normal
from penstock.knowledge.sources.repository import QueryDatabase, Reading

NOBODY = ("nobody",)
"""A tag that nobody has."""
Mark = int | float | str | datetime
"""What an `updated` column can hold."""


class SqlOptions(Struct, frozen=True, kw_only=True):
    """What the columns of a query are; as `[knowledge.NAME.sql.NAME]`."""

    key: str
    text: str
    format: Literal["text", "markdown", "html"] = "text"
    title: str = ""
    link: str = ""
    updated: str = ""
    metadata_columns: tuple[str, ...] = ()
    readers_column: str = ""
    max_bytes: int = 50_000_000

    @property
    def described(self) -> tuple[str, ...]:
        """All columns but the text."""
        named = (self.key, self.title, self.link, self.updated, *self.metadata_columns, self.readers_column)
        return tuple(dict.fromkeys(filter(None, named)))


class SqlSource:
    """Rows by their keys. Versions are what the `updated` column says, with hashes of the texts where it says the
    newest of all, else hashes alone."""

    def __init__(self, name: str, database: QueryDatabase, options: SqlOptions, rules: SourceRules) -> None:
        self.name = f"sql.{name}"
        self._database = database
        self._options = options
        self._rules = rules
        self._spool: Spool | None = None

    @property
    def max_delete(self) -> float:
        return self._rules.max_delete

    async def list(self, cursor: bytes) -> Listing:
        """Every row. Raises `UpstreamFailed` where not all can be read, `ConfigError` for a column that is not
        there, or a key that is not one."""
        return await asyncio.to_thread(self._list, cursor)

    async def fetch(self, item: Item, folder: Path) -> Path:
        return await asyncio.to_thread(self._fetch, item, folder)

    async def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._database.close()

    def _list(self, cursor: bytes) -> Listing:
        options = self._options
        if self._spool is not None:
            self._spool.close()
        self._spool = spool = Spool(options.max_bytes)
        scope = f"{options.updated} {self._database.digest}"
        mark = decoded(cursor, scope)
        with self._database.reading() as reading:
            self._check_columns(reading.columns())
            if options.updated and mark is not None:
                self._read_texts(reading, spool, mark)
                rows = reading.rows(options.described)
            else:
                rows = reading.rows(tuple(dict.fromkeys((*options.described, options.text))))
            items, newest = self._items(rows, spool, mark)
        return Listing(items=tuple(items.values()), cursor=encoded(newest, scope))

    def _items(
        self, rows: Iterable[Mapping[str, Any]], spool: Spool, mark: Mark | None
    ) -> tuple[dict[str, Item], Mark | None]:
        """The items by key, and the largest mark."""
        options, newest = self._options, mark
        items: dict[str, Item] = {}
        marks: dict[str, Mark] = {}
        for row in rows:
            value = row[options.key]
            key = "" if value is None else str(value)
            if not key or key in items:
                what = f"{key!r} more than once" if key else "rows without a value"
                raise ConfigError(
                    f"{self.name}: the column {options.key!r} is no key, for it has {what}.",
                    hint="Set key to a column that tells rows apart.",
                )
            if options.text in row:
                spool.add(key, row[options.text])
            updated = row[options.updated] if options.updated else None
            newest = later(newest, updated)
            items[key] = self._item(key, row, spool, updated)
            if updated is not None and key in spool:
                marks[key] = updated
        for key in (key for key, updated in marks.items() if updated == newest):
            # It may change once more within the same second, or whatever the column counts.
            version = f"{items[key].version} {spool.digest(key)}"
            items[key] = msgspec.structs.replace(items[key], version=version)
        return items, newest

    def _item(self, key: str, row: Mapping[str, Any], spool: Spool, updated: Mark | None) -> Item:
        options, rules = self._options, self._rules
        digest = "" if options.updated else spool.digest(key)
        named = {
            name: value for name in options.metadata_columns if (value := metadata_value(row[name])) is not None
        }
        link = str(row[options.link] or "") if options.link else ""
        return Item(
            key=key,
            version=digest if updated is None else str(updated),
            kind=options.format,
            location=msgspec.msgpack.encode(row[options.key], enc_hook=str),
            metadata={**rules.metadata, **named},
            readers=readers_of(row[options.readers_column]) if options.readers_column else rules.readers,
            title=str(row[options.title] or "") if options.title else "",
            url=link if link and normal(link) is not None else "",
            modified_us=microseconds(updated),
            size=spool.size(key),
        )

    def _read_texts(self, reading: Reading, spool: Spool, mark: Mark) -> None:
        """Those of rows that changed since, and of rows as new as the newest, of which more may have come."""
        options = self._options
        for row in reading.rows((options.key, options.text), (options.updated, ">=", mark)):
            spool.add(str(row[options.key]), row[options.text])

    def _check_columns(self, columns: tuple[str, ...]) -> None:
        for name in (*self._options.described, self._options.text):
            if name not in columns:
                raise ConfigError(
                    f"{self.name}: the query has no column {name!r}.", hint=f"It has: {', '.join(columns)}."
                )

    def _fetch(self, item: Item, folder: Path) -> Path:
        spool = self._spool or Spool(self._options.max_bytes)
        if item.key not in spool:
            options = self._options
            with self._database.reading() as reading:
                key = msgspec.msgpack.decode(item.location)
                for row in reading.rows((options.text,), (options.key, "=", key)):
                    spool.add(item.key, row[options.text])
        if item.key not in spool:
            raise NotFound(f"{item.key} is no longer in the database of {self.name}.")
        data = spool.read(item.key)
        if data is None:
            raise BodyTooLarge(
                f"{item.key} of {self.name} has more than {self._options.max_bytes / 1e6:,.0f} MB.",
                hint="Split it, or raise max_file_mb.",
            )
        handle, name = tempfile.mkstemp(dir=folder, prefix="row-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return Path(name)


class Spool:
    """Texts by key, in a file that vanishes with it. Of too large ones only the size is kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="penstock-rows-")  # noqa: SIM115
        self._places: dict[str, tuple[int, int, str]] = {}
        self._end = 0

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, key: str, text: object) -> None:
        data = text if isinstance(text, bytes) else str("" if text is None else text).encode("utf-8", "replace")
        self._places[key] = (self._end, len(data), hashlib.sha256(data).hexdigest())
        if len(data) <= self._max_bytes:
            self._file.seek(self._end)
            self._end += self._file.write(data)

    def digest(self, key: str) -> str:
        return self._places[key][2] if key in self._places else ""

    def size(self, key: str) -> int | None:
        return self._places[key][1] if key in self._places else None

    def read(self, key: str) -> bytes | None:
        """The text; `None` for one that is too large."""
        start, size, _ = self._places[key]
        if size > self._max_bytes:
            return None
        self._file.seek(start)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


def metadata_value(value: object) -> Value | None:
    """A column's value as metadata can hold it; `None` for none."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list | tuple):
        return tuple(str(each) for each in value)
    return value.isoformat() if isinstance(value, date) else str(value)


def readers_of(value: object) -> tuple[str, ...]:
    """Who may find a document, by its column: nobody where that says nothing, for none would be everybody."""
    names = value if isinstance(value, list | tuple) else str(value or "").split(",")
    found = tuple(dict.fromkeys(name for each in names if (name := str(each).strip())))
    return found or NOBODY


def later(mark: Any, other: Any) -> Mark | None:
    """The larger mark; the other one where the first is of another kind, since its column has changed."""
    if other is None:
        return mark  # type: ignore[no-any-return]
    try:
        return mark if type(mark) is type(other) and mark >= other else other  # type: ignore[no-any-return]
    except TypeError:  # times with and without a time zone
        return other  # type: ignore[no-any-return]


def microseconds(updated: object) -> int | None:
    if not isinstance(updated, datetime):
        return None
    return int((updated if updated.tzinfo else updated.replace(tzinfo=UTC)).timestamp() * 1e6)


class Position(Struct, frozen=True):
    """The cursor: the largest mark of a column of a query (`scope`)."""

    scope: str
    value: int | float | str
    is_time: bool = False


def encoded(mark: Mark | None, scope: str) -> bytes:
    """A mark as a cursor; b"" for none, or one of a kind that cannot be kept."""
    if isinstance(mark, datetime):
        return msgspec.msgpack.encode(Position(scope, mark.isoformat(), is_time=True))
    return msgspec.msgpack.encode(Position(scope, mark)) if isinstance(mark, int | float | str) else b""


def decoded(cursor: bytes, scope: str) -> Mark | None:
    """The mark of a cursor; `None` where it is of another query."""
    try:
        found = msgspec.msgpack.decode(cursor, type=Position) if cursor else None
        if found is None or found.scope != scope:
            return None
        return datetime.fromisoformat(str(found.value)) if found.is_time else found.value
    except (msgspec.DecodeError, ValueError):
        return None
