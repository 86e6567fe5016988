"""How taking documents in looks: a bar while it runs, a summary with every problem when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from penstock.cli.output import Piece, console, count, harmless, is_terminal, note
from penstock.cli.prose import indented

if TYPE_CHECKING:
    from rich.progress import TaskID

    from penstock.knowledge.values import IngestProgress, IngestSummary, SourceRemoved

PROBLEMS_SHOWN = 10
KINDS_SHOWN = 6


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


def show_summaries(summaries: Mapping[str, IngestSummary]) -> None:
    """One line for each knowledge, and one for each file that could not be read whole."""
    for name, summary in summaries.items():
        note((name, "bold"), ": ", *_line(summary))
        _show_problems(summary)
        for gone in summary.removed_sources:
            note(f"  {removed(gone)}")
        for problem in summary.sources:
            text = f"{problem.source} was left as it is: {problem.reason}"
            note(("  ! ", "yellow"), indented(harmless(text), "    ", sys.stderr).lstrip())


def removed(gone: SourceRemoved) -> str:
    """A source that went, in a line."""
    return f"{gone.source} is no longer configured: {count(gone.documents, 'document')} removed"


def show_problems(summaries: Mapping[str, IngestSummary]) -> None:
    """Only the files that could not be read whole, and only after a run that found something new."""
    for summary in summaries.values():
        if summary.added or summary.changed:
            _show_problems(summary)


def _show_problems(summary: IngestSummary) -> None:
    """A line for each; pictures and the like, which lie in many folders of documents, share one."""
    other = [problem.path for problem in summary.problems if problem.status == "unsupported"]
    problems = [problem for problem in summary.problems if problem.status != "unsupported"]
    if other:
        kinds = sorted({PurePosixPath(path).suffix.lower() or "no ending" for path in other})
        listed = ", ".join(kinds[:KINDS_SHOWN]) + (" …" if len(kinds) > KINDS_SHOWN else "")
        note((harmless(f"  {count(len(other), 'file')} of other kinds left out ({listed})"), "dim"))
    for problem in problems[:PROBLEMS_SHOWN]:
        text = f"{problem.path}: {problem.reason} ({problem.status})"
        note(("  ! ", "yellow"), indented(harmless(text), "    ", sys.stderr).lstrip())
    if len(problems) > PROBLEMS_SHOWN:
        note(f"  and {count(len(problems) - PROBLEMS_SHOWN, 'more file')} like these.")


def _line(summary: IngestSummary) -> list[Piece]:
    from penstock.knowledge.values import FINDABLE

    readable = sum(count for status, count in summary.statuses.items() if status in FINDABLE)
    total = sum(summary.statuses.values()) - summary.statuses.get("unsupported", 0)
    found = count(total, "document") if readable == total else f"{readable:,} of {count(total, 'file')} can be read"
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
    pieces: list[Piece] = [found, f" ({', '.join(changes)})" if changes else ""]
    if summary.chunks:
        pieces.append(f", {count(summary.chunks, 'new passage')}")
    return [*pieces, (f", {summary.seconds:.1f} s", "dim")]
