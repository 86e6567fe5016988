"""`penstock knowledge runs` and `documents`: what was done, and what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.ingestion import removed
from penstock.cli.knowing import Name
from penstock.cli.output import note, say_json

if TYPE_CHECKING:
    from penstock.knowledge.ingestion.records import Run

RUNS = examples("penstock knowledge runs my-docs/", "penstock knowledge runs my-docs/ --limit 3 --json")
DOCUMENTS = examples(
    "penstock knowledge documents my-docs/", "penstock knowledge documents my-docs/ --status no_text --json"
)


def runs(
    path: AppPath = HERE,
    name: Name = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first, and what came of each."""
    from penstock.cli.governing import moment, table
    from penstock.cli.knowing import desk
    from penstock.config import load

    with desk(load(path), name) as at:
        found = at.runs(limit)
    if as_json:
        say_json(found)
        return
    if not found:
        note("There was no run yet. Start one with: penstock ingest")
        return
    heads = ("Id", "State", "By", "Began", "Seconds", "Generation", "What came of it")
    rows = [
        (
            run.id,
            run.state,
            run.trigger,
            moment(run.started_at, "not yet"),
            f"{(run.ended_at - run.started_at) / 1e6:.1f}" if run.ended_at and run.started_at else "",
            "" if run.generation is None else str(run.generation),
            outcome(run),
        )
        for run in found
    ]
    table(heads, rows)


def outcome(run: Run) -> str:
    """What came of a run, in a line."""
    if run.error is not None:
        return f"{run.error.message} {run.error.hint}".strip()
    if run.report is None:
        return f"{run.progress.done:,} of {run.progress.total:,}" if run.progress else ""
    report = run.report
    counts = {"new": report.added, "changed": report.changed, "gone": report.removed, "unchanged": report.unchanged}
    parts = [f"{number:,} {what}" for what, number in counts.items() if number]
    parts += [removed(gone) for gone in report.removed_sources]
    parts += [f"{problem.source}: {problem.reason}" for problem in report.sources]
    return ", ".join(parts) or "nothing"


def documents(
    path: AppPath = HERE,
    name: Name = "",
    status: Annotated[str, typer.Option(metavar="STATUS", help="Only these: ok, partial, no_text, corrupt …")] = "",
    as_json: AsJson = False,
) -> None:
    """List documents with how the reading of each ended."""
    from penstock.cli.governing import table
    from penstock.cli.knowing import desk
    from penstock.config import load

    with desk(load(path), name) as at:
        found = [row for row in at.documents() if status in ("", row.status)]
    if as_json:
        say_json(found)
        return
    if not found:
        note("There are no such documents.")
        return
    rows = [(row.path, row.source, row.status, str(row.chunks), row.parser, row.reason) for row in found]
    table(("Path", "Source", "Status", "Passages", "Read by", "Why"), rows)
