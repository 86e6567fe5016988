"""How taking documents in looks: a bar while it runs, a summary with every problem when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.cli.output import Piece, console, count, harmless, is_terminal, note

if TYPE_CHECKING:
    from rich.progress import TaskID

    from penstock.knowledge.values import IngestProgress, IngestSummary

PROBLEMS_SHOWN = 10


@contextmanager
def ingestion_bar() -> Iterator[Callable[[str, IngestProgress], None]]:
    """What to call with the knowledge's name and where its run is; draws only on a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda name, progress: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[knowledge]}", style="bold"),
        TextColumn("reading"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[current]}", style="dim"),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(name: str, progress: IngestProgress) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task("", knowledge=name, current="", total=progress.total)
            current = harmless(progress.current)
            current = current if len(current) <= 40 else f"…{current[-39:]}"
            bars.update(tasks[name], completed=progress.done, total=progress.total, current=current)

        yield draw


def show_summaries(summaries: Mapping[str, IngestSummary], *, only_problems: bool = False) -> None:
    """One line for each knowledge, and one for each file that could not be read whole."""
    for name, summary in summaries.items():
        if not only_problems:
            note((name, "bold"), ": ", *_line(summary))
        for problem in summary.problems[:PROBLEMS_SHOWN]:
            note(("  ! ", "yellow"), f"{problem.path}: {problem.reason}", (f" ({problem.status})", "dim"))
        if len(summary.problems) > PROBLEMS_SHOWN:
            note(f"  and {count(len(summary.problems) - PROBLEMS_SHOWN, 'more file')} like these; see Knowledge.")


def _line(summary: IngestSummary) -> list[Piece]:
    readable = summary.statuses.get("ok", 0) + summary.statuses.get("partial", 0)
    changes = [
        f"{number:,} {what}"
        for number, what in (
            (summary.added, "new"),
            (summary.changed, "changed"),
            (summary.removed, "gone"),
            (summary.unchanged, "unchanged"),
        )
        if number
    ]
    pieces: list[Piece] = [count(readable, "document"), f" ({', '.join(changes)})" if changes else ""]
    if summary.chunks:
        pieces.append(f", {count(summary.chunks, 'new passage')}")
    return [*pieces, (f", {summary.seconds:.1f} s", "dim")]
