"""A provider's invoice or usage export, held against the ledger by day and model.

The exports of OpenAI's and Anthropic's consoles are known by their columns; for any other file, say which column is
which. Days are of UTC, as the providers count them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from penstock.access.costs.values import CostRow
from penstock.errors import InvalidRequest

Columns = Mapping[str, str]
"""What is read (`FIELDS`), and the column that it stands in."""

TOKENS = ("input", "cached_input", "cache_write", "output")
FIELDS = ("day", "model", "calls", *TOKENS, "cost")
ANY_MODEL = ""
"""The model of a line that is about a whole day."""

OPENAI_USAGE = {
    "day": "start_time_iso",
    "model": "model",
    "calls": "num_model_requests",
    "input": "input_tokens",
    "cached_input": "input_cached_tokens",
    "output": "output_tokens",
}
OPENAI_COSTS = {"day": "start_time_iso", "model": "line_item", "cost": "amount_value"}
ANTHROPIC_USAGE = {
    "day": "usage_date_utc",
    "model": "model_version",
    "input": "usage_input_tokens_no_cache",
    "cached_input": "usage_input_tokens_cache_read",
    "cache_write": "usage_input_tokens_cache_write_5m",
    "output": "usage_output_tokens",
}
ANTHROPIC_COSTS = {"day": "usage_date_utc", "model": "model", "cost": "cost_usd"}
SHAPES: tuple[Columns, ...] = (OPENAI_USAGE, OPENAI_COSTS, ANTHROPIC_USAGE, ANTHROPIC_COSTS)

HOUR_WRITES = "usage_input_tokens_cache_write_1h"
"""Anthropic's second column of tokens that are written to the cache."""
CURRENCY = "amount_currency"
MOST_DIGITS = 15


class Amounts(Struct, frozen=True):
    """What one side says of a day and model; `None` is not said. Money in nano-dollars."""

    calls: int | None = None
    input: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    output: int | None = None
    cost_nanos: int | None = None

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(*(added(getattr(self, name), getattr(other, name)) for name in self.__struct_fields__))


class InvoiceLine(Struct, frozen=True):
    """One day and model of a file. `model` is `ANY_MODEL` for a line about all of a day."""

    day: str
    model: str
    amounts: Amounts


class Difference(Struct, frozen=True, kw_only=True):
    """One day and model on both sides: `None` where a side has nothing of it. Differences are theirs less ours."""

    day: str
    model: str
    theirs: Amounts | None
    ours: Amounts | None
    cost_nanos: int | None
    tokens: int | None


def read_invoice(data: str, columns: Columns | None = None) -> list[InvoiceLine]:
    """The lines of a CSV file, added up by day and model.

    Raises `InvalidRequest` that names the line, the column and the value.
    """
    rows = csv.DictReader(io.StringIO(data.removeprefix("\ufeff")), dialect=dialect_of(data))
    header = list(rows.fieldnames or ())
    shape = checked(columns, header) if columns else shape_of(header)
    found: dict[tuple[str, str], Amounts] = {}
    for row in rows:
        line = line_of(row, shape, rows.line_num)
        if line is not None:
            key = (line.day, line.model)
            found[key] = found[key].plus(line.amounts) if key in found else line.amounts
    return [InvoiceLine(day, model, amounts) for (day, model), amounts in sorted(found.items())]


def dialect_of(data: str) -> type[csv.Dialect]:
    first = data.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)

    class Found(csv.excel):
        pass

    Found.delimiter = delimiter
    return Found


def shape_of(header: Sequence[str]) -> Columns:
    for shape in SHAPES:
        if set(shape.values()) <= set(header):
            return shape
    raise InvalidRequest(
        "The file is no export that is known: its columns are " + (", ".join(header[:12]) or "missing") + ".",
        hint="Say which is which, for example --column day=Date --column model=Model --column cost=Amount.",
    )


def checked(columns: Columns, header: Sequence[str]) -> Columns:
    for field, column in columns.items():
        if field not in FIELDS:
            raise InvalidRequest(f"{field!r} is not read from an invoice.", hint=f"Use {', '.join(FIELDS)}.")
        if column not in header:
            raise InvalidRequest(
                f"The file has no column {column!r}.", hint=f"It has {', '.join(header[:20]) or 'none'}."
            )
    if "day" not in columns or len(columns) < 2:
        raise InvalidRequest("A column for the day and one for an amount are needed.", hint="--column day=Date")
    return columns


def line_of(row: Mapping[str, str | None], shape: Columns, number: int) -> InvoiceLine | None:
    """`None` for a line without amounts, such as a day on which nothing was used."""
    values = {field: (row.get(column) or "").strip() for field, column in shape.items()}
    amounts = {field: values.get(field, "") for field in FIELDS if field not in ("day", "model")}
    if not any(amounts.values()):
        return None
    currency = (row.get(CURRENCY) or "usd").strip().lower()
    if "cost" in shape and currency != "usd":
        raise InvalidRequest(f"Line {number}: the amount is in {currency!r}.", hint="Only US dollars are compared.")
    counts = {
        field: whole_number(amounts[field], shape[field], number)
        for field in ("calls", *TOKENS)
        if field in shape and amounts[field]
    }
    if shape is OPENAI_USAGE:  # it counts cached tokens among those of the input
        counts["input"] = counts.get("input", 0) - counts.get("cached_input", 0)
    if shape is ANTHROPIC_USAGE and row.get(HOUR_WRITES):
        more = whole_number(str(row[HOUR_WRITES]), HOUR_WRITES, number)
        counts["cache_write"] = counts.get("cache_write", 0) + more
    cost = money(amounts["cost"], shape["cost"], number) if amounts["cost"] else None
    return InvoiceLine(
        day_of(values["day"], shape["day"], number),
        plain_model(values.get("model", "").partition(", ")[0]),
        Amounts(**counts, cost_nanos=cost),
    )


def whole_number(text: str, column: str, number: int) -> int:
    value = decimal(text)
    if value is None:
        raise unreadable(text, column, number, "a whole number")
    return int(value)


def money(text: str, column: str, number: int) -> int:
    value = decimal(text.replace("$", ""))
    if value is None:
        raise unreadable(text, column, number, "an amount")
    return round(value * 1_000_000_000)


def decimal(text: str) -> Decimal | None:
    """`None` for what is no number, or for one that no invoice has and that would take a long time to write out."""
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() and value.adjusted() < MOST_DIGITS else None


def day_of(text: str, column: str, number: int) -> str:
    try:
        if re.fullmatch(r"\d{9,11}", text):
            return datetime.fromtimestamp(int(text), UTC).date().isoformat()
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise unreadable(text, column, number, "a day such as 2026-01-31") from None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()


def unreadable(text: str, column: str, number: int, wanted: str) -> InvalidRequest:
    return InvalidRequest(
        f"Line {number}: {text[:40]!r} in column {column!r} is not {wanted}.",
        hint="Name the right column with --column, or correct the line.",
    )


def plain_model(name: str) -> str:
    """A model's name as both sides can spell it: `Claude Haiku 4.5` is `claude-haiku-4-5-20251001`."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return re.sub(r"-(20\d{2}-\d{2}-\d{2}|20\d{6}|latest)$", "", plain)


def target_model(target: str) -> str:
    """The model of a target in the ledger: without its vendor and the address of a replica."""
    return plain_model(re.sub(r"[@#].*$", "", target.partition("/")[2] or target))


def added(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other


def ours_of(rows: Iterable[CostRow], *, by_model: bool) -> Iterator[InvoiceLine]:
    """The ledger's side, from costs by day and target."""
    for row in rows:
        sums = row.sums
        yield InvoiceLine(
            row.group["day"],
            target_model(row.group["target"]) if by_model else ANY_MODEL,
            Amounts(
                sums.calls - sums.cached,
                sums.input,
                sums.cached_input,
                sums.cache_write,
                sums.output + sums.reasoning,
                sums.cost_nanos,
            ),
        )


def compare(theirs: Sequence[InvoiceLine], rows: Iterable[CostRow]) -> list[Difference]:
    """Every day and model that either side has, by day, the largest difference of a day first."""
    by_model = any(line.model != ANY_MODEL for line in theirs)
    days = {line.day for line in theirs}
    left = {(line.day, line.model): line.amounts for line in theirs}
    right: dict[tuple[str, str], Amounts] = {}
    for line in ours_of(rows, by_model=by_model):
        if line.day in days:
            key = (line.day, line.model)
            right[key] = right[key].plus(line.amounts) if key in right else line.amounts
    found = [difference(key, left.get(key), right.get(key)) for key in left.keys() | right.keys()]
    return sorted(found, key=lambda each: (each.day, -abs(each.cost_nanos or each.tokens or 0), each.model))


def difference(key: tuple[str, str], theirs: Amounts | None, ours: Amounts | None) -> Difference:
    one, other = theirs or Amounts(), ours or Amounts()
    says_cost = theirs is None or theirs.cost_nanos is not None
    counted = [name for name in TOKENS if getattr(one, name) is not None] if theirs else list(TOKENS)
    tokens = sum((getattr(one, name) or 0) - (getattr(other, name) or 0) for name in counted)
    return Difference(
        day=key[0],
        model=key[1],
        theirs=theirs,
        ours=ours,
        cost_nanos=(one.cost_nanos or 0) - (other.cost_nanos or 0) if says_cost else None,
        tokens=tokens if counted else None,
    )


def days_of(lines: Sequence[InvoiceLine]) -> tuple[date, date]:
    """The first day of a file and the last. Raises `InvalidRequest` for a file without amounts."""
    if not lines:
        raise InvalidRequest(
            "The file has no line with an amount.", hint="Export a time in which something was used."
        )
    return date.fromisoformat(lines[0].day), date.fromisoformat(lines[-1].day)
