"""Which documents a search may find, from their metadata and readers held as columns.

A column keeps each distinct value once, and a number for each document. A filter is decided for the distinct
values, most often by looking them up, and means what `filters.matches` and `Reader.may_find` say.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.filters import (
    ORDERED,
    AllOf,
    AnyOf,
    Compare,
    Filter,
    Metadata,
    Not,
    Scalar,
    Value,
    matches,
)
from penstock.knowledge.values import Reader

Mask = NDArray[np.bool_]
Codes = NDArray[np.int32]
NONE = -1


class Column:
    """One field over all documents: document i has `values[codes[i]]`, or nothing where the code is -1."""

    def __init__(self, name: str, values: Sequence[Value], codes: Codes) -> None:
        self.name = name
        self.values = values
        self.codes = codes

    def mask(self, compare: Compare) -> Mask:
        """The documents that a comparison of this field means."""
        verdicts = np.zeros(len(self.values) + 1, dtype=np.bool_)
        verdicts[NONE] = matches(compare, {})
        verdicts[:-1] = self._verdicts(compare)
        chosen: Mask = verdicts[self.codes]
        return chosen

    def having(self, members: Iterable[Scalar]) -> Mask:
        """The documents whose value is one of these, or a list with one of them in it."""
        verdicts = np.zeros(len(self.values) + 1, dtype=np.bool_)
        for member in members:
            verdicts[self._places.get(identity(member), [])] = True
        chosen: Mask = verdicts[self.codes]
        return chosen

    def _verdicts(self, compare: Compare) -> Mask:
        op, value = compare.op, compare.value
        if op in ("ne", "nin"):
            return ~self._verdicts(Compare(compare.field, "eq" if op == "ne" else "in", value))
        verdicts = np.zeros(len(self.values), dtype=np.bool_)
        if op in ("eq", "in"):
            for each in value if isinstance(value, tuple) and op == "in" else (value,):
                if not isinstance(each, tuple):
                    verdicts[self._places.get(identity(each), [])] = True
        elif op in ORDERED:
            verdicts[self._between(compare)] = True
        else:
            for code, own in enumerate(self.values):
                verdicts[code] = matches(compare, {self.name: own})
        return verdicts

    def _between(self, compare: Compare) -> Codes:
        value = compare.value
        if isinstance(value, (bool, tuple)):
            return np.zeros(0, dtype=np.int32)
        ordered, codes = self._texts if isinstance(value, str) else self._numbers
        match compare.op:
            case "gt":
                return codes[bisect_right(ordered, value) :]
            case "gte":
                return codes[bisect_left(ordered, value) :]
            case "lt":
                return codes[: bisect_left(ordered, value)]
            case _:
                return codes[: bisect_right(ordered, value)]

    @cached_property
    def _places(self) -> dict[tuple[bool, Scalar], list[int]]:
        places: dict[tuple[bool, Scalar], list[int]] = {}
        for code, own in enumerate(self.values):
            for member in own if isinstance(own, tuple) else (own,):
                places.setdefault(identity(member), []).append(code)
        return places

    @cached_property
    def _texts(self) -> tuple[list[str], Codes]:
        pairs = [
            (member, code)
            for code, own in enumerate(self.values)
            for member in (own if isinstance(own, tuple) else (own,))
            if isinstance(member, str)
        ]
        pairs.sort()
        return [member for member, _ in pairs], np.array([code for _, code in pairs], dtype=np.int32)

    @cached_property
    def _numbers(self) -> tuple[list[int | float], Codes]:
        pairs = [
            (own, code)
            for code, own in enumerate(self.values)
            if isinstance(own, (int, float)) and not isinstance(own, bool)
        ]
        pairs.sort()
        return [own for own, _ in pairs], np.array([code for _, code in pairs], dtype=np.int32)


class DocumentTable:
    """Metadata and readers of documents, `rows` being theirs in the database. Never changes."""

    def __init__(self, rows: NDArray[np.int64], columns: dict[str, Column], readers: Column) -> None:
        self.rows = rows
        self.count = len(rows)
        self.columns = columns
        self.readers = readers

    @classmethod
    def of(cls, rows: NDArray[np.int64], documents: Iterable[tuple[Metadata, tuple[str, ...]]]) -> DocumentTable:
        """`documents` are metadata and readers of each row."""
        fields: dict[str, ColumnBuilder] = {}
        readers = ColumnBuilder("readers")
        for at, (metadata, own) in enumerate(documents):
            for name, value in metadata.items():
                fields.setdefault(name, ColumnBuilder(name)).add(at, value)
            readers.add(at, own)
        columns = {name: field.column(len(rows)) for name, field in fields.items()}
        return cls(rows, columns, readers.column(len(rows)))

    @classmethod
    def joined(cls, parts: Sequence[tuple[DocumentTable, NDArray[np.int64]]]) -> DocumentTable:
        """The chosen documents (by position) of several tables, one table after the other."""
        rows = np.concatenate([np.zeros(0, np.int64), *(table.rows[chosen] for table, chosen in parts)])
        names = dict.fromkeys(name for table, _ in parts for name in table.columns)
        empty = Column("", (), np.zeros(0, dtype=np.int32))
        columns = {
            name: joined_column(name, [(table.columns.get(name, empty), chosen) for table, chosen in parts])
            for name in names
        }
        readers = joined_column("readers", [(table.readers, chosen) for table, chosen in parts])
        return cls(rows, columns, readers)

    def mask(self, reader: Reader, filter: Filter | None) -> Mask | None:
        """The documents that match and are for the reader; `None` for all."""
        chosen = None if filter is None else self._matching(filter)
        if reader.tags is None:
            return chosen
        allowed = self.readers.having(reader.tags) | self._for_everybody
        return allowed if chosen is None else chosen & allowed

    @cached_property
    def _for_everybody(self) -> Mask:
        own = self.readers
        public = np.array([not readers for readers in own.values] + [False])
        chosen: Mask = public[own.codes]
        return chosen

    def _matching(self, filter: Filter) -> Mask:
        match filter:
            case AllOf(filters):
                both = np.ones(self.count, np.bool_)
                for each in filters:
                    both &= self._matching(each)
                return both
            case AnyOf(filters):
                either = np.zeros(self.count, np.bool_)
                for each in filters:
                    either |= self._matching(each)
                return either
            case Not(inner):
                return ~self._matching(inner)
            case Compare():
                column = self.columns.get(filter.field)
                return np.full(self.count, matches(filter, {})) if column is None else column.mask(filter)


class ColumnBuilder:
    """Values as they come, each distinct one kept once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[object, int] = {}
        self._values: list[Value] = []
        self._documents: list[int] = []
        self._codes: list[int] = []

    def add(self, document: int, value: Value) -> None:
        self._documents.append(document)
        self._codes.append(self.code(value))

    def code(self, value: Value) -> int:
        """The number of a value. 1, 1.0 and true are three values: as texts they differ."""
        key = (type(value), repr(value) if isinstance(value, float) else value)
        code = self._known.setdefault(key, len(self._values))
        if code == len(self._values):
            self._values.append(value)
        return code

    def column(self, count: int) -> Column:
        codes = np.full(count, NONE, dtype=np.int32)
        codes[self._documents] = self._codes
        return Column(self._name, tuple(self._values), codes)

    def column_of(self, codes: Codes) -> Column:
        return Column(self._name, tuple(self._values), codes)


def joined_column(name: str, parts: Sequence[tuple[Column, NDArray[np.int64]]]) -> Column:
    builder = ColumnBuilder(name)
    pieces = []
    for column, chosen in parts:
        if not len(column.codes):
            pieces.append(np.full(len(chosen), NONE, dtype=np.int32))
            continue
        codes = column.codes[chosen]
        anew = np.full(len(column.values) + 1, NONE, dtype=np.int32)
        for code in np.unique(codes[codes != NONE]):
            anew[code] = builder.code(column.values[code])
        pieces.append(anew[codes])
    return builder.column_of(np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32))


def identity(member: Scalar) -> tuple[bool, Scalar]:
    """What `filters.same` goes by: 1 is 1.0, and never true."""
    return isinstance(member, bool), member
