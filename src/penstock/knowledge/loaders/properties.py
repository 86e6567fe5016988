"""What files say of themselves, as flat metadata: names of our own, so that all kinds are filtered alike."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

from penstock.knowledge.filters import LONGEST_NAME, Value

MOST_FIELDS = 100
LONGEST_VALUE = 1000
DEEPEST = 4


def flat(values: Mapping[str, Any]) -> dict[str, Value]:
    """Any mapping as metadata: nested names joined by dots, dates as ISO 8601, lists as texts; at most
    `MOST_FIELDS` values, longer ones than `LONGEST_VALUE` characters left out."""
    found: dict[str, Value] = {}
    stack: list[tuple[str, Any, int]] = [(str(name), value, 0) for name, value in reversed(list(values.items()))]
    while stack and len(found) < MOST_FIELDS:
        name, value, depth = stack.pop()
        if isinstance(value, Mapping):
            if depth < DEEPEST:
                stack.extend((f"{name}.{key}", inner, depth + 1) for key, inner in reversed(list(value.items())))
            continue
        kept = (
            tuple(str(each) for part in value if (each := scalar(part)) is not None)
            if isinstance(value, (list, tuple, set))
            else scalar(value)
        )
        if kept is not None and kept != () and 0 < len(name) <= LONGEST_NAME:
            found[name] = kept
    return found


def scalar(value: Any) -> str | int | float | bool | None:
    """One value; `None` for what is not one, is empty, or is too long."""
    if isinstance(value, (bool, int, float)):
        return value if math.isfinite(value) and abs(value) < 1 << 63 else None
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, str):
        text = " ".join(value.split())
        return text if 0 < len(text) <= LONGEST_VALUE else None
    return None
