"""Filters as every vector database can hold them: words that a point has, and ranges of its numbers.

A point carries `words` (one for each text or boolean of its metadata, each field that it has, each tag of its
readers) and `numbers`. A filter becomes clauses over the two that let through at least what matches; where it
says more than they can ("a part of this text"), the rest is checked on what comes back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from penstock.knowledge.filters import AllOf, AnyOf, Compare, Filter, Metadata, Not, Scalar
from penstock.knowledge.values import Reader, Scope

LONGEST = 120
EXACT = 2**53
"""Beyond it numbers are rounded by databases that keep them as floats."""
NEVER = EXACT - 1
"""Of `removed`: a passage that is still there."""
ADDED, REMOVED = "added", "removed"

Order = Literal["gt", "gte", "lt", "lte"]
OPPOSITE: dict[Order, Order] = {"gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt"}


class Has(Struct, frozen=True):
    """The point has this word, or has it not."""

    word: str
    wanted: bool = True


class Range(Struct, frozen=True):
    """The point's number of that name, where it has one, is on this side of a value."""

    name: str
    order: Order
    value: float


class All(Struct, frozen=True):
    clauses: tuple[Clause, ...]


class Any(Struct, frozen=True):
    clauses: tuple[Clause, ...]


Clause = Has | Range | All | Any


def words_of(metadata: Metadata, readers: tuple[str, ...]) -> list[str]:
    """The words of a point, each once."""
    found = dict.fromkeys(map(reader_word, readers or ("",)))
    for field, value in metadata.items():
        found[present(field)] = None
        if not isinstance(value, bool) and isinstance(value, int | float):
            found[numeric(field)] = None
        for member in value if isinstance(value, tuple) else (value,):
            if isinstance(member, bool | str):
                found[word(field, member)] = None
    return list(found)


def numbers_of(metadata: Metadata) -> dict[str, float]:
    """The numbers of a point by the names that ranges use."""
    return {
        number(field): float(value)
        for field, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def numbers_among(kept: Mapping[str, object]) -> dict[str, float]:
    """The numbers of a point where a database keeps them beside its texts."""
    return {name: float(value) for name, value in kept.items() if isinstance(value, int | float)}


def clause_of(scope: Scope) -> Clause:
    """What a point must have to be found in this scope."""
    parts: list[Clause] = [
        Range(ADDED, "lte", scope.generation),
        Range(REMOVED, "gt", scope.generation),
    ]
    if scope.reader.tags is not None:
        parts.append(readable(scope.reader))
    if scope.filter is not None and (own := translated(scope.filter, wanted=True)) is not None:
        parts.append(own)
    return All(tuple(parts))


def readable(reader: Reader) -> Clause:
    return Any(tuple(Has(reader_word(tag)) for tag in ("", *(reader.tags or ()))))


def translated(filter: Filter, *, wanted: bool) -> Clause | None:
    """Clauses that let through at least every point which matches, or which does not where `wanted` is false;
    `None` where they would let through all."""
    match filter:
        case Not(inner):
            return translated(inner, wanted=not wanted)
        case AllOf(filters) | AnyOf(filters):
            parts = [translated(each, wanted=wanted) for each in filters]
            known = tuple(part for part in parts if part is not None)
            if isinstance(filter, AllOf) is wanted:
                return All(known) if known else None
            return Any(known) if len(known) == len(parts) and known else None
        case Compare():
            return _compare(filter, wanted)


def _compare(filter: Compare, wanted: bool) -> Clause | None:
    field, value = filter.field, filter.value
    match filter.op:
        case "exists":
            return Has(present(field), bool(value) is wanted)
        case "eq" | "ne":
            return None if isinstance(value, tuple) else _equal(field, value, wanted is (filter.op == "eq"))
        case "in" | "nin":
            wanted = wanted is (filter.op == "in")
            members = value if isinstance(value, tuple) else (value,)
            parts = [_equal(field, member, wanted) for member in members]
            known = tuple(part for part in parts if part is not None)
            if not wanted:
                return All(known) if known else None
            return Any(known) if known and len(known) == len(parts) else None
        case "contains":
            return None
        case "gt" | "gte" | "lt" | "lte":
            return _ordered(field, filter.op, value, wanted)


def _equal(field: str, value: Scalar, wanted: bool) -> Clause | None:
    if isinstance(value, bool | str):
        return Has(word(field, value), wanted)
    if abs(value) >= EXACT or value != value:
        return None
    name = number(field)
    if wanted:
        return All((Range(name, "gte", value), Range(name, "lte", value)))
    return Any((Has(numeric(field), False), Range(name, "lt", value), Range(name, "gt", value)))


def _ordered(field: str, order: Order, value: object, wanted: bool) -> Clause | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < EXACT:
        return None
    if wanted:
        return Range(number(field), order, value)
    return Any((Has(numeric(field), False), Range(number(field), OPPOSITE[order], value)))


def number(field: str) -> str:
    return f"n_{field}"


def present(field: str) -> str:
    return _short(f"?{field}")


def numeric(field: str) -> str:
    return _short(f"#{field}")


def word(field: str, value: str | bool) -> str:
    return _short(f"{field}={value}" if isinstance(value, str) else f"{field}:{str(value).lower()}")


def reader_word(tag: str) -> str:
    """The word of a tag that a document is kept for; that of "" is on documents for everybody."""
    return _short(f"@{tag}")


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:40]}…{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def holds(clause: Clause, words: frozenset[str], numbers: dict[str, float]) -> bool:
    """What a clause means, for a point with these words and numbers."""
    match clause:
        case Has(name, wanted):
            return (name in words) is wanted
        case All(clauses):
            return all(holds(each, words, numbers) for each in clauses)
        case Any(clauses):
            return any(holds(each, words, numbers) for each in clauses)
        case Range(name, order, value):
            own = numbers.get(name)
            if own is None:
                return False
            return {"gt": own > value, "gte": own >= value, "lt": own < value, "lte": own <= value}[order]
