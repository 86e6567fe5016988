"""What is asked about costs, and what is answered."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Group = Literal[
    "project", "key", "app", "model", "target", "provider", "operation", "purpose", "release", "user", "day"
]
"""What costs are told apart by. `model` is what was asked for, `target` what answered; `day` is of UTC."""
Step = Literal["hour", "day"]

MOST_ROWS = 5_000


class CostFilter(Struct, frozen=True, kw_only=True):
    """Which calls count. `project_id` `None` is every project; times are UTC microseconds, `until_us` exclusive."""

    project_id: str | None
    since_us: int
    until_us: int
    equal: tuple[tuple[Group, str], ...] = ()


class Sums(Struct, frozen=True, kw_only=True):
    """Sums over calls. Tokens are in disjoint classes, money in nano-dollars.

    `unpriced` calls have no known cost and are not in `cost_nanos`; `open_nanos` is the most that they may have
    cost, as far as that was known before. `estimated` calls have usage that their provider did not count,
    `reconciled` ones were cut off by the end of the process. `saved_nanos` is what answers from the cache would
    have cost. `busy_us` is how long calls took, together.
    """

    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    cached: int = 0
    reconciled: int = 0
    unpriced: int = 0
    estimated: int = 0
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_nanos: int = 0
    saved_nanos: int = 0
    open_nanos: int = 0
    busy_us: int = 0


class CostRow(Struct, frozen=True, kw_only=True):
    """The costs of one group. `start_us` is when the hour or day of a series begins, `None` without one."""

    group: dict[str, str]
    start_us: int | None
    sums: Sums


class CostReport(Struct, frozen=True, kw_only=True):
    """Costs from `since_us` to `until_us`, at the beginning of an hour, or of a day where users are told apart.

    The dearest group is first; a series goes by time. `truncated` says that there are more than `MOST_ROWS`.
    """

    since_us: int
    until_us: int
    rows: tuple[CostRow, ...]
    total: Sums
    truncated: bool
