"""Numbers within bounds as EBNF, digit by digit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.errors import InvalidConstraint

FRACTION = '("." [0-9]{1,15})?'
ZEROS = '("." "0"{1,15})?'


def integer_between(schema: Mapping[str, Any], path: str) -> str:
    low = whole(schema, "minimum", path)
    high = whole(schema, "maximum", path)
    above = whole(schema, "exclusiveMinimum", path)
    below = whole(schema, "exclusiveMaximum", path)
    low = max((bound for bound in (low, None if above is None else above + 1) if bound is not None), default=None)
    high = min((bound for bound in (high, None if below is None else below - 1) if bound is not None), default=None)
    check(low, high, path)
    parts = []
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        parts.append(f'"\\u002d" {magnitude(least, None if low is None else -low)}')
    if high is None or high >= 0:
        parts.append(magnitude(max(0, low or 0), high))
    return "(" + " | ".join(parts) + ")"


def number_between(schema: Mapping[str, Any], path: str) -> str:
    """Bounds must be whole numbers. A number at a bound has no fraction but zeros, others any."""
    low = whole(schema, "minimum", path)
    high = whole(schema, "maximum", path)
    check(low, high, path)
    parts = []
    if low is None or low < 0:
        parts.append(
            f'"\\u002d" {fractional(0 if high is None or high >= 0 else -high, None if low is None else -low)}'
        )
    if high is None or high >= 0:
        parts.append(fractional(max(0, low or 0), high))
    return "(" + " | ".join(parts) + ")"


def fractional(low: int, high: int | None) -> str:
    """Numbers from `low` to `high`, neither negative."""
    if high is None:
        return f"({magnitude(low, None)} {FRACTION})"
    top = f'("{high}" {ZEROS})'
    return top if high == low else f"(({magnitude(low, high - 1)} {FRACTION}) | {top})"


def magnitude(low: int, high: int | None) -> str:
    """The digits of the whole numbers from `low` to `high`, neither negative; without a `high`, up to 16 digits."""
    parts = []
    if high is None:
        longer = len(str(low))
        high = 10**longer - 1
        if longer < 16:
            parts.append(f"[1-9] [0-9]{{{longer},15}}")
    while low <= high:
        end = min(high, 10 ** len(str(low)) - 1)
        parts.extend(same_length(str(low), str(end)))
        low = end + 1
    return "(" + " | ".join(parts) + ")"


def same_length(low: str, high: str) -> list[str]:
    """Alternatives for the numbers between two of as many digits."""
    if low == high:
        return [f'"{low}"']
    if len(low) == 1:
        return [digits(low, high)]
    rest = len(low) - 1
    if low[0] == high[0]:
        return [f'"{low[0]}" ({" | ".join(same_length(low[1:], high[1:]))})']
    out = []
    first, last = int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        out.append(f'"{first}" ({" | ".join(same_length(low[1:], "9" * rest))})')
        first += 1
    tail = None
    if high[1:] != "9" * rest:
        tail = f'"{last}" ({" | ".join(same_length("0" * rest, high[1:]))})'
        last -= 1
    if first <= last:
        out.append(f"{digits(str(first), str(last))} [0-9]{{{rest}}}")
    return [*out, tail] if tail else out


def digits(low: str, high: str) -> str:
    return f'"{low}"' if low == high else f"[{low}-{high}]"


def whole(schema: Mapping[str, Any], name: str, path: str) -> int | None:
    value = schema.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) < 1e15 or value % 1:
        raise InvalidConstraint(
            f"the JSON schema at {path} has {name} {json.dumps(value)}, which is not a whole number below 1e15.",
            hint="Round it, or check the bound after the answer.",
            param="response_format",
        )
    return int(value)


def check(low: int | None, high: int | None, path: str) -> None:
    if low is not None and high is not None and low > high:
        raise InvalidConstraint(
            f"the JSON schema at {path} asks for a number of at least {low} and at most {high}.",
            hint="Correct the bounds.",
            param="response_format",
        )
