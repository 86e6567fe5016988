"""The SQL of an overview: how long calls took, and sums, of calls read one by one as far as a bound allows.

Time is cut into slices, and of each the first calls are read, along the table's key. A slice with more of them than
that counts for what it would have at the pace of those that were read. So a question takes the same time whether
there were a thousand calls or a hundred million, and is exact as long as no slice is full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, text

from penstock.access.costs.repository import Question, costs
from penstock.access.costs.values import CostFilter, CostRow, Step, Sums
from penstock.access.ledger.tables import DAY_US, SLOT_BITS
from penstock.access.overview.histogram import Histogram, bucket
from penstock.access.overview.values import Figures, Grid

# The statements are made of names and numbers from here, never of values.
# ruff: noqa: S608

SLICES = 120
"""Slices of time, evenly over the steps of a range; SQLite joins at most 500 selects into one."""
MOST_CALLS = 24_000
PER_SLICE = MOST_CALLS // SLICES

ADDED = ("input", "cached_input", "cache_write", "output", "reasoning", "cost_nanos", "saved_nanos")
READ = ("status", "started_us", "ended_us", "dimension_id", *ADDED)
FIGURES = {
    "calls": "w",
    "errors": "CASE WHEN status = 'error' THEN w ELSE 0 END",
    "cached": "CASE WHEN status = 'cached' THEN w ELSE 0 END",
    "unpriced": "CASE WHEN cost_nanos IS NULL THEN w ELSE 0 END",
    **{name: f"w * {name}" for name in ADDED},
}
SUMS = ", ".join(f"coalesce(sum({expression}), 0)" for expression in FIGURES.values())
BUCKET = bucket("ended_us - started_us")
TOOK = f"CASE WHEN status = 'ok' THEN {BUCKET} END"

Part = Literal["slot", "model"]


class Window(Struct, frozen=True):
    """The time to read: the steps of a grid from `since_us` on, of one project's calls or of all."""

    since_us: int
    grid: Grid
    project_id: str | None

    @property
    def slices(self) -> Iterator[tuple[int, int, int]]:
        """The number of the step, the beginning and the end of each slice."""
        each = max(1, SLICES // self.grid.count)
        length = self.grid.step_us // each
        for number in range(self.grid.count * each):
            start = self.since_us + number * length
            yield number // each, start, start + length


class Group:
    """The calls of one step, or of one model, as they are added up."""

    def __init__(self) -> None:
        self._sums = [0.0] * len(FIGURES)
        self.took = Histogram()

    def add(self, took: int | None, sums: list[float]) -> None:
        self._sums = [one + float(other) for one, other in zip(self._sums, sums, strict=True)]
        if took is not None:
            self.took.add(took, sums[0])

    @property
    def figures(self) -> Figures:
        return Figures(**{name: round(value) for name, value in zip(FIGURES, self._sums, strict=True)})


class Sample(Struct, frozen=True):
    """What was read. `slots` are by the number of their step; `full` says that not all was."""

    slots: dict[int, Group]
    models: dict[str, Group]
    whole: Group
    full: bool


def sample(connection: Connection, window: Window) -> Sample:
    found: dict[Part, defaultdict[Any, Group]] = {"slot": defaultdict(Group), "model": defaultdict(Group)}
    whole, full = Group(), False
    values = {} if window.project_id is None else {"project_id": window.project_id}
    for part, slot, model, took, is_full, *sums in connection.execute(text(statement(window)), values):
        found[part][slot if part == "slot" else model].add(took, sums)
        if part == "slot":
            whole.add(took, sums)
            full = full or bool(is_full)
    return Sample(slots=dict(found["slot"]), models=dict(found["model"]), whole=whole, full=full)


class Kept(Struct, frozen=True):
    """The sums that the ledger makes by itself, by the hour and the day."""

    over_time: list[CostRow]
    by_model: list[CostRow]
    whole: Sums


def kept_sums(connection: Connection, window: Window, now_us: int) -> Kept:
    wanted = CostFilter(project_id=window.project_id, since_us=window.since_us, until_us=now_us)
    step: Step = "day" if window.grid.step_us >= DAY_US else "hour"
    over_time, whole = costs(connection, Question(wanted=wanted, step=step))
    by_model, _ = costs(connection, Question(wanted=wanted, by=("model",)))
    return Kept(over_time, by_model, whole)


def statement(window: Window) -> str:
    """Sums by step and by model, each by how long calls took."""
    looked = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {slot} AS slot, {start} AS slice_us, {end} AS slice_end_us, {', '.join(READ)} "
        f"FROM call WHERE id >= {start << SLOT_BITS} AND id < {end << SLOT_BITS} ORDER BY id LIMIT {PER_SLICE}) s"
        for slot, start, end in window.slices
    )
    weight = (
        "SELECT slice_us, count(*) AS n, CASE WHEN "
        f"count(*) < {PER_SLICE} THEN 1.0 ELSE 1.0 * (min(slice_end_us) - slice_us) "
        "/ (max(started_us) - slice_us + 1) END AS w FROM looked GROUP BY slice_us"
    )
    project = "" if window.project_id is None else " AND d.project_id = :project_id"
    calls = (
        f"SELECT looked.*, w, n >= {PER_SLICE} AS is_full, d.model, {TOOK} AS took FROM looked "
        "JOIN weight ON weight.slice_us = looked.slice_us JOIN dimension d ON d.id = looked.dimension_id "
        f"WHERE status <> 'reserved'{project}"
    )
    full = "max(CASE WHEN is_full THEN 1 ELSE 0 END)"
    return (
        f"WITH looked AS MATERIALIZED ({looked}), weight AS MATERIALIZED ({weight}), "
        f"calls AS MATERIALIZED ({calls}) "
        f"SELECT 'slot', slot, '', took, {full}, {SUMS} FROM calls GROUP BY slot, took "
        f"UNION ALL SELECT 'model', 0, model, took, {full}, {SUMS} FROM calls GROUP BY model, took"
    )
