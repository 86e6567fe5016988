"""Which documents a search may look at, by their metadata.

    parse_filter({"team": "hr", "year": {"gte": 2020}, "or": [{"lang": "en"}, {"lang": "de"}]})

`matches` says what a filter means; every store gives the same answer, however it finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from penstock.errors import InvalidRequest

Scalar = str | int | float | bool
Value = Scalar | tuple[str, ...]
Metadata = Mapping[str, Value]
"""What is known of a document beside its text: flat, by name."""

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists"]
OPERATORS: tuple[Operator, ...] = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists")
ORDERED = frozenset({"gt", "gte", "lt", "lte"})

DEEPEST = 8
MOST_PARTS = 200
LONGEST_NAME = 64


class Compare(Struct, frozen=True):
    """One field against a value: a scalar; scalars for `in` and `nin`; true or false for `exists`.

    A document without the field matches only `ne`, `nin` and `exists: false`. Numbers compare with numbers and
    texts with texts. A field that is a list matches `eq` and `in` by any of its members, as `contains` does; for
    a text, `contains` is a part of it.
    """

    field: str
    op: Operator
    value: Scalar | tuple[Scalar, ...]


class AllOf(Struct, frozen=True):
    filters: tuple[Filter, ...]


class AnyOf(Struct, frozen=True):
    filters: tuple[Filter, ...]


class Not(Struct, frozen=True):
    filter: Filter


Filter = Compare | AllOf | AnyOf | Not


def matches(filter: Filter, metadata: Metadata) -> bool:
    """Whether a document with this metadata is meant."""
    match filter:
        case AllOf(filters):
            return all(matches(each, metadata) for each in filters)
        case AnyOf(filters):
            return any(matches(each, metadata) for each in filters)
        case Not(inner):
            return not matches(inner, metadata)
        case Compare():
            return _compare(filter, metadata.get(filter.field))


def _compare(filter: Compare, own: Value | None) -> bool:
    op, value = filter.op, filter.value
    if op == "exists":
        return (own is not None) == value
    if op in ("ne", "nin"):
        return not _compare(Compare(filter.field, "eq" if op == "ne" else "in", value), own)
    if own is None:
        return False
    members = own if isinstance(own, tuple) else (own,)
    if op == "eq":
        return any(same(member, value) for member in members)
    if op == "in":
        wanted = value if isinstance(value, tuple) else (value,)
        return any(same(member, each) for member in members for each in wanted)
    if op == "contains":
        return any(same(each, value) for each in own) if isinstance(own, tuple) else str(value) in str(own)
    return any(_ordered(op, member, value) for member in members)


def same(one: Scalar, other: object) -> bool:
    """Equality that never takes 1 for true."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _ordered(op: Operator, own: Scalar, value: object) -> bool:
    if isinstance(own, bool) or isinstance(value, bool) or isinstance(own, str) != isinstance(value, str):
        return False
    left: Any = own
    right: Any = value
    match op:
        case "gt":
            return bool(left > right)
        case "gte":
            return bool(left >= right)
        case "lt":
            return bool(left < right)
        case _:
            return bool(left <= right)


def parse_filter(data: object, param: str = "filter") -> Filter:
    """A filter from JSON: Penstock's form, or OpenAI's (`{"type": "and", "filters": […]}`).

    Raises `InvalidRequest` that names what is wrong; `param` is what the request calls the filter.
    """
    try:
        return _Parser().filter(data, 0)
    except Unreadable as error:
        raise InvalidRequest(
            f"The filter cannot be read: {error}.",
            hint='Write it as {"field": value, "field": {"gte": value}, "or": [{…}, {…}]}.',
            param=param,
        ) from None


class Unreadable(Exception):
    """What is wrong with a filter."""


class _Parser:
    def __init__(self) -> None:
        self._parts = 0

    def filter(self, data: object, depth: int) -> Filter:
        if not isinstance(data, dict):
            raise Unreadable(f"{shown(data)} is no object")
        is_openai = "type" in data and ("filters" in data or "key" in data)
        self._parts += 1 if is_openai else max(1, len(data))
        if depth > DEEPEST or self._parts > MOST_PARTS:
            raise Unreadable(f"it has more than {MOST_PARTS} parts or is nested more than {DEEPEST} deep")
        if is_openai:
            return self._openai(data, depth)
        parts = [self._entry(name, value, depth) for name, value in data.items()]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _entry(self, name: str, value: object, depth: int) -> Filter:
        if name in ("and", "or"):
            filters = self._list(name, value, depth)
            return AllOf(filters) if name == "and" else AnyOf(filters)
        if name == "not":
            return Not(self.filter(value, depth + 1))
        if not isinstance(value, dict):
            return compare(name, "in" if isinstance(value, list) else "eq", value)
        if not value:
            raise Unreadable(f"{shown(name)} is compared with nothing")
        parts = tuple(compare(name, operator, operand) for operator, operand in value.items())
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _openai(self, data: dict[str, Any], depth: int) -> Filter:
        kind = data["type"]
        if kind in ("and", "or"):
            filters = self._list(kind, data.get("filters"), depth)
            return AllOf(filters) if kind == "and" else AnyOf(filters)
        return compare(data.get("key"), kind, data.get("value"))

    def _list(self, name: str, value: object, depth: int) -> tuple[Filter, ...]:
        if not isinstance(value, list) or not value:
            raise Unreadable(f"{name!r} needs a list of filters")
        return tuple(self.filter(each, depth + 1) for each in value)


def compare(field: object, operator: object, value: object) -> Compare:
    """One comparison from its parts. Raises `Unreadable`."""
    if not isinstance(field, str) or not 0 < len(field) <= LONGEST_NAME:
        raise Unreadable(f"{shown(field)} is no name of a field")
    if operator not in OPERATORS:
        raise Unreadable(f"{shown(operator)} is no comparison; there are {', '.join(OPERATORS)}, and, or, not")
    if operator in ("in", "nin"):
        if not isinstance(value, list) or not all(isinstance(each, Scalar) for each in value):
            raise Unreadable(f"{operator!r} of {shown(field)} needs a list of texts, numbers or booleans")
        return Compare(field, operator, tuple(value))
    if not isinstance(value, Scalar) or (operator == "exists" and not isinstance(value, bool)):
        what = "true or false" if operator == "exists" else "a text, a number or a boolean"
        raise Unreadable(f"{operator!r} of {shown(field)} needs {what}, not {shown(value)}")
    if operator in ORDERED and isinstance(value, bool):
        raise Unreadable(f"{operator!r} of {shown(field)} needs a number or a text, not {shown(value)}")
    return Compare(field, operator, value)


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
