"""The SQL of costs: sums of sums. Functions of a connection; the caller decides the thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, text

from penstock.access.costs.values import MOST_ROWS, CostFilter, CostRow, Group, Step, Sums
from penstock.access.ledger.tables import DAY_US, HOUR_US

# The statements are made of column names from here, never of values.
# ruff: noqa: S608

COLUMNS: dict[Group, str] = {
    "project": "project_id",
    "key": "key_id",
    "app": "app",
    "model": "model",
    "target": "served_by",
    "provider": "provider",
    "operation": "operation",
    "purpose": "purpose",
    "release": "release_id",
}
"""Where what calls have in common is kept; users and days are columns of the sums."""

NAMES = Sums.__struct_fields__
HOURS = 24


class Question(Struct, frozen=True, kw_only=True):
    """Which calls count, and how they are told apart. A step of hours knows no users."""

    wanted: CostFilter
    by: tuple[Group, ...] = ()
    step: Step | None = None

    @property
    def by_user(self) -> bool:
        return "user" in self.by or any(group == "user" for group, _ in self.wanted.equal)

    @property
    def unit(self) -> int:
        """What times are rounded to, outwards."""
        return DAY_US if self.by_user else HOUR_US

    @property
    def bounds(self) -> tuple[int, int]:
        """The first hour or day that counts, and the first that does not."""
        return self.wanted.since_us // self.unit, -(-self.wanted.until_us // self.unit)

    @property
    def bucket(self) -> Step | None:
        """What time the sums are told apart by, as a step or as a group."""
        return self.step or ("day" if "day" in self.by else None)


def costs(connection: Connection, question: Question) -> tuple[list[CostRow], Sums]:
    """The groups, up to one more than `MOST_ROWS`, and the sums over all of them."""
    where, values = conditions(question)
    sources = " UNION ALL ".join(parts(question, where))
    sums = ", ".join(f'coalesce(sum(s."{name}"), 0) AS "{name}"' for name in NAMES)
    keys = [expression(group) for group in question.by] + (["s.bucket"] if question.step else [])
    if not keys:
        return [], whole(connection.execute(text(f"SELECT {sums} FROM ({sources}) s"), values).one())
    positions = ", ".join(str(at + 1) for at in range(len(keys)))
    first = f"{len(keys)}, " if question.step else ""
    order = f"{first}cost_nanos DESC, calls DESC, {positions}"
    statement = (
        f"SELECT {', '.join(keys)}, {sums} FROM ({sources}) s JOIN dimension d ON d.id = s.dimension_id "
        f"GROUP BY {positions} ORDER BY {order} LIMIT {MOST_ROWS + 1}"
    )
    rows = [row_of(row, question) for row in connection.execute(text(statement), values)]
    if len(rows) <= MOST_ROWS:
        return rows, added_up([row.sums for row in rows])
    return rows, whole(connection.execute(text(f"SELECT {sums} FROM ({sources}) s"), values).one())


def parts(question: Question, where: str) -> Iterator[str]:
    """The sums that the question is about, by what calls have in common: whole days from the sums of days."""
    first, end = question.bounds
    if question.by_user:
        yield part("daily_user", "s.day", question, f"s.day >= {first} AND s.day < {end}{where}")
        return
    first_day, end_day = -(-first // HOURS), end // HOURS
    if question.bucket == "hour" or first_day >= end_day:
        yield part("hourly", hours(question), question, f"s.hour >= {first} AND s.hour < {end}{where}")
        return
    yield part("daily", "s.day", question, f"s.day >= {first_day} AND s.day < {end_day}{where}")
    for start, stop in ((first, first_day * HOURS), (end_day * HOURS, end)):
        if start < stop:
            yield part("hourly", hours(question), question, f"s.hour >= {start} AND s.hour < {stop}{where}")


def hours(question: Question) -> str:
    return "s.hour" if question.bucket == "hour" else f"s.hour / {HOURS}"


def part(table: str, bucket: str, question: Question, where: str) -> str:
    kept = [bucket] if question.bucket else ["0"]
    kept += ['s."user"'] if question.by_user else []
    sums = ", ".join(f'sum(s."{name}") AS "{name}"' for name in NAMES)
    named = f"{kept[0]} AS bucket" + (f", {kept[1]}" if question.by_user else "")
    return (
        f"SELECT s.dimension_id, {named}, {sums} FROM {table} s WHERE {where} "
        f"GROUP BY s.dimension_id, {', '.join(str(at + 2) for at in range(len(kept)))}"
    )


def expression(group: Group) -> str:
    if group == "user":
        return 's."user"'
    return "s.bucket" if group == "day" else f"d.{COLUMNS[group]}"


def conditions(question: Question) -> tuple[str, dict[str, Any]]:
    """What stands in the WHERE after the time, and its values."""
    wanted = question.wanted
    equal = wanted.equal if wanted.project_id is None else (("project", wanted.project_id), *wanted.equal)
    values: dict[str, Any] = {f"value_{number}": value for number, (_, value) in enumerate(equal)}
    in_common = [
        f"{COLUMNS[group]} = :value_{number}" for number, (group, _) in enumerate(equal) if group in COLUMNS
    ]
    found = [f' AND s."user" = :value_{number}' for number, (group, _) in enumerate(equal) if group == "user"]
    if in_common:
        found.append(f" AND s.dimension_id IN (SELECT id FROM dimension WHERE {' AND '.join(in_common)})")
    return "".join(found), values


def row_of(row: Sequence[Any], question: Question) -> CostRow:
    group = {str(each): day(row[at]) if each == "day" else str(row[at]) for at, each in enumerate(question.by)}
    start = None
    if question.step:
        start = int(row[len(question.by)]) * (DAY_US if question.step == "day" else HOUR_US)
    return CostRow(group=group, start_us=start, sums=whole(row[-len(NAMES) :]))


def day(number: int) -> str:
    """A day as people write it: 2026-01-31."""
    return datetime.fromtimestamp(number * DAY_US / 1e6, UTC).date().isoformat()


def whole(row: Sequence[Any]) -> Sums:
    return Sums(**{name: int(value) for name, value in zip(NAMES, row, strict=True)})


def added_up(rows: Sequence[Sums]) -> Sums:
    return Sums(**{name: sum(getattr(row, name) for row in rows) for name in NAMES})
