"""An overview from the ledger: sums from those by the hour and the day, the rest from a bounded number of calls."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from penstock.access.costs.repository import added_up
from penstock.access.costs.values import CostRow, Sums
from penstock.access.ledger import Ledger
from penstock.access.overview.repository import Group, Kept, Sample, Window, kept_sums, sample
from penstock.access.overview.values import GRIDS, Figures, ModelFigures, Overview, Point, Range

MODELS = 50


class KeptSums(Struct, frozen=True):
    """The sums of an overview: as the ledger keeps them, or added up from calls."""

    slots: dict[int, Figures]
    models: dict[str, Figures]
    whole: Figures


async def read_overview(ledger: Ledger, range: Range, project_id: str | None, now_us: int) -> Overview:
    """The calls of a project, `None` for those of all, that are over until now."""
    await ledger.flush()
    return await asyncio.to_thread(overview, ledger, range, project_id, now_us)


def overview(ledger: Ledger, range: Range, project_id: str | None, now_us: int) -> Overview:
    grid = GRIDS[range]
    since_us = (now_us // grid.step_us - grid.count + 1) * grid.step_us
    window = Window(since_us, grid, project_id)
    with ledger.database.read() as connection:
        looked = sample(connection, window)
        kept = counted(looked) if range == "hour" else added(kept_sums(connection, window, now_us), window)
    return Overview(
        range=range,
        since_us=since_us,
        until_us=now_us,
        sampled=looked.full,
        total=kept.whole,
        latency=looked.whole.took.latency,
        points=points(looked, kept, window, now_us),
        models=models(looked, kept),
    )


def counted(looked: Sample) -> KeptSums:
    """Sums of what was read: none are kept by the minute."""
    return KeptSums(
        slots={slot: group.figures for slot, group in looked.slots.items()},
        models={model: group.figures for model, group in looked.models.items()},
        whole=looked.whole.figures,
    )


def added(kept: Kept, window: Window) -> KeptSums:
    return KeptSums(
        slots=stepped(kept.over_time, window),
        models={row.group["model"]: figures(row.sums) for row in kept.by_model},
        whole=figures(kept.whole),
    )


def stepped(rows: Iterable[CostRow], window: Window) -> dict[int, Figures]:
    """The sums of each step, by its number."""
    found: defaultdict[int, list[Sums]] = defaultdict(list)
    for row in rows:
        start_us = window.since_us if row.start_us is None else row.start_us
        found[(start_us - window.since_us) // window.grid.step_us].append(row.sums)
    return {slot: figures(added_up(each)) for slot, each in found.items()}


def figures(sums: Sums) -> Figures:
    return Figures(**{name: getattr(sums, name) for name in Figures.__struct_fields__})


def points(looked: Sample, kept: KeptSums, window: Window, now_us: int) -> tuple[Point, ...]:
    step_us, made = window.grid.step_us, []
    for slot in range(window.grid.count):
        start_us = window.since_us + slot * step_us
        made.append(
            Point(
                start_us=start_us,
                seconds=min(step_us, now_us - start_us) / 1e6,
                figures=kept.slots.get(slot, Figures()),
                latency=looked.slots.get(slot, Group()).took.latency,
            )
        )
    return tuple(made)


def models(looked: Sample, kept: KeptSums) -> tuple[ModelFigures, ...]:
    busiest = sorted(kept.models.items(), key=lambda item: (-item[1].calls, item[0]))
    return tuple(
        ModelFigures(model=model, figures=each, latency=looked.models.get(model, Group()).took.latency)
        for model, each in busiest[:MODELS]
    )
