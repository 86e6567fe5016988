"""What an overview shows: figures of a time, the same over time, and by model."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from penstock.access.ledger.tables import DAY_US, HOUR_US

Range = Literal["hour", "day", "week", "month"]
MINUTE_US = 60_000_000


class Grid(Struct, frozen=True):
    """The steps of a range: `count` of `step_us` each, of which the last is not over yet."""

    step_us: int
    count: int


GRIDS: dict[Range, Grid] = {
    "hour": Grid(MINUTE_US, 60),
    "day": Grid(HOUR_US, 24),
    "week": Grid(3 * HOUR_US, 56),
    "month": Grid(DAY_US, 30),
}


class Figures(Struct, frozen=True, kw_only=True):
    """Sums over calls of models that are over.

    Tokens are in disjoint classes, money in nano-dollars. `unpriced` calls have no known cost and are not in
    `cost_nanos`; `cached` ones were answered from the cache, which saved `saved_nanos`.
    """

    calls: int = 0
    errors: int = 0
    cached: int = 0
    unpriced: int = 0
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_nanos: int = 0
    saved_nanos: int = 0


class Latency(Struct, frozen=True):
    """How long answered calls took to their end, in microseconds: half, 95% and 99% took no longer.

    They are read off a histogram and within 1.6% of the true ones; `None` where nothing was answered.
    """

    p50_us: int | None = None
    p95_us: int | None = None
    p99_us: int | None = None


class Point(Struct, frozen=True, kw_only=True):
    """One step, beginning at `start_us`. `seconds` are those of it that have passed."""

    start_us: int
    seconds: float
    figures: Figures
    latency: Latency


class ModelFigures(Struct, frozen=True, kw_only=True):
    model: str
    figures: Figures
    latency: Latency


class Overview(Struct, frozen=True, kw_only=True):
    """The calls of a range of time, `points` in their order and `models` the busiest first.

    `sampled` says that there were more calls than were looked at one by one: then the percentiles, and all figures
    of the range `hour`, are projected from a sample.
    """

    range: Range
    since_us: int
    until_us: int
    sampled: bool
    total: Figures
    latency: Latency
    points: tuple[Point, ...]
    models: tuple[ModelFigures, ...]

    @property
    def seconds(self) -> float:
        return (self.until_us - self.since_us) / 1e6
