"""How a race looks while it runs: a bar on a terminal, else a line for each thing that is tried."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.cli.output import console, is_terminal, note

if TYPE_CHECKING:
    from penstock.knowledge.tune.racing import Step


@contextmanager
def race_bar() -> Iterator[Callable[[Step], None]]:
    """What to call with each thing that is tried; says about how long the race takes once it can be known."""
    said = False

    def estimate(step: Step) -> None:
        nonlocal said
        if step.seconds is not None and not said:
            said = True
            note((f"The ways to cut take about {length(step.seconds)} more.", "dim"))

    with bar("trying") as draw:

        def told(step: Step) -> None:
            estimate(step)
            draw(step.number - 1, step.of, step.name)

        yield told


@contextmanager
def asking_bar() -> Iterator[Callable[[int, int], None]]:
    """What to call with how many passages of how many a model has read."""
    with bar("models.default writes questions", quiet=True) as draw:
        yield lambda done, total: draw(done, total, "")


@contextmanager
def bar(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """What to call with how many are done, of how many, and the one in hand; `quiet` says nothing elsewhere."""
    if not is_terminal(sys.stderr):
        yield lambda done, total, current: None if quiet else note((f"{what} {current}", "dim"))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console(sys.stderr), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total, current: bars.update(task, completed=done, total=total, description=current)


def length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
