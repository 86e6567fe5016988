"""How fetching models looks: a bar each on a terminal, a line each elsewhere, nothing where all is here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.output import bytes_in_words, console, is_terminal, note

if TYPE_CHECKING:
    from rich.progress import TaskID

    from penstock.models.pull import PullProgress

PHASES = {
    "waiting": "waiting for another process",
    "download": "fetching",
    "unpack": "unpacking",
    "verify": "verifying",
    "done": "here",
}


def fetch_models(names: Iterable[str]) -> dict[str, Path]:
    """The folder of each model, fetched where it is not here yet."""
    from penstock.models.pull import pull

    with pull_bars() as report:
        return {name: pull(name, report) for name in names}


@contextmanager
def pull_bars() -> Iterator[Callable[[PullProgress], None]]:
    """What to call with where a pull is."""
    if not is_terminal(sys.stderr):
        yield _Lines().take
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.fields[model]}", style="bold"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console(sys.stderr)) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(progress: PullProgress) -> None:
            if progress.name not in tasks:
                tasks[progress.name] = bars.add_task("", model=progress.name, total=None)
            bars.update(
                tasks[progress.name],
                description=PHASES[progress.phase],
                completed=progress.done_bytes,
                total=progress.total_bytes,
            )

        yield draw


class _Lines:
    """For a log: when a model starts to come, when it is here, and when another process has it in hand."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def take(self, progress: PullProgress) -> None:
        told = (progress.name, progress.phase)
        if progress.phase in ("waiting", "download", "done") and told not in self._told:
            self._told.add(told)
            size = f", {bytes_in_words(progress.total_bytes)}" if progress.total_bytes else ""
            note(f"{progress.name}: {PHASES[progress.phase]}{size}")
