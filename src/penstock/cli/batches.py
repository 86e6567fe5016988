"""`penstock batches`: makes batches from files of requests, watches them, and fetches what they came to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import AsJson, NamedApp, examples
from penstock.cli.output import note, say, say_json
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.cli.batching import Desk
    from penstock.http.batches import BatchWire

app = typer.Typer(no_args_is_help=True, help="Answer many requests in one file, when there is room.")

LOOK_SECONDS = 0.5
OVER = ("completed", "failed", "expired", "cancelled")
CREATE_EXAMPLES = examples(
    "penstock batches create my-docs/ requests.jsonl --wait",
    "penstock batches create my-docs/ requests.jsonl --model gpt-4.1-mini --window 6h",
    "penstock batches create my-docs/ texts.jsonl --endpoint /v1/embeddings --output vectors.jsonl",
)
Id = Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")]


@app.command("create", epilog=CREATE_EXAMPLES)
def create(
    path: NamedApp,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Lines of JSON, each a request with custom_id, method, url and body.", exists=True
        ),
    ],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Ask this model, whatever the lines say.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="PATH", help="What all lines ask; default: what the first one does.")
    ] = None,
    window: Annotated[str, typer.Option(metavar="AGE", help="When it expires: 90m, 24h, 7d …")] = "24h",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is over, and show how far it is.")] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Wait, and write the answers there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a batch. Without a running server it is worked on here, until it is over."""
    from penstock.cli.batching import desk, prepared
    from penstock.config import load

    data, asked = prepared(file, model, endpoint)
    with desk(load(path), works=True) as at:
        batch = at.create(file.name, data, asked, window)
        if wait or output is not None or not at.is_served:
            batch = watched(at, batch)
        if output is not None and batch.output_file_id is not None:
            output.write_bytes(at.content(batch.output_file_id))
        show_one(batch, as_json)
    if batch.status in OVER and batch.status != "completed":
        raise typer.Exit(1)


@app.command("list", epilog=examples("penstock batches list my-docs/", "penstock batches list my-docs/ --json"))
def list_(
    path: NamedApp,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List batches, newest first."""
    from penstock.cli.batching import desk
    from penstock.cli.governing import moment, table
    from penstock.config import load

    with desk(load(path)) as at:
        batches = at.list(limit)
    if as_json:
        say_json(batches)
        return
    if not batches:
        note("There are no batches. Make one with: penstock batches create PATH FILE")
        return
    heads = ("Id", "Status", "Done", "Failed", "Of", "Endpoint", "Made")
    rows = [
        (
            batch.id,
            batch.status,
            str(batch.request_counts.completed),
            str(batch.request_counts.failed),
            str(batch.request_counts.total),
            batch.endpoint,
            moment(batch.created_at * 1_000_000),
        )
        for batch in batches
    ]
    table(heads, rows)


@app.command("show", epilog=examples("penstock batches show my-docs/ batch_0197f2c4b1de7a3f --wait"))
def show(
    path: NamedApp,
    id: Id,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is over, and show how far it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a batch stands. With --wait and without a running server it is worked on here."""
    from penstock.cli.batching import desk
    from penstock.config import load

    with desk(load(path), works=wait) as at:
        batch = at.get(id)
        show_one(watched(at, batch) if wait else batch, as_json)


@app.command("cancel", epilog=examples("penstock batches cancel my-docs/ batch_0197f2c4b1de7a3f"))
def cancel(path: NamedApp, id: Id) -> None:
    """Stop a batch; what was answered stays, and can be fetched."""
    from penstock.cli.batching import desk
    from penstock.config import load

    with desk(load(path), works=True) as at:
        batch = at.cancel(id)
        if not at.is_served:
            batch = watched(at, batch)
    say((batch.status, "green"), f"  {batch.id}")


@app.command("output", epilog=examples("penstock batches output my-docs/ batch_0197f2c4b1de7a3f > answers.jsonl"))
def output(
    path: NamedApp,
    id: Id,
    errors: Annotated[bool, typer.Option("--errors", help="The lines that failed instead.")] = False,
) -> None:
    """Print the answers of a batch that is over, a line of JSON each."""
    from penstock.cli.batching import desk
    from penstock.config import load

    with desk(load(path)) as at:
        batch = at.get(id)
        if batch.status not in OVER:
            raise InvalidRequest(
                f"Batch {id} is {batch.status}.", hint=f"Wait for it: penstock batches show {path} {id} --wait"
            )
        file = batch.error_file_id if errors else batch.output_file_id
        data = at.content(file) if file is not None else b""
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
    if not data:
        note("No line failed." if errors else "No line was answered; see --errors.")


def watched(at: Desk, batch: BatchWire) -> BatchWire:
    """The batch once it is over, with a bar on a terminal until then."""
    with Bar() as draw:
        while batch.status not in OVER:
            time.sleep(LOOK_SECONDS)
            batch = at.get(batch.id)
            draw(batch)
    return batch


class Bar:
    """Draws how far a batch is: a bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        from penstock.cli.output import console, is_terminal

        self._bar = None
        if is_terminal(sys.stderr):
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
            )
            self._bar = Progress(*columns, console=console(sys.stderr))
            self._task = self._bar.add_task("validating", total=None)

    def __enter__(self) -> Callable[[BatchWire], None]:
        if self._bar is not None:
            self._bar.start()
        return self._draw

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _draw(self, batch: BatchWire) -> None:
        counts = batch.request_counts
        if self._bar is not None:
            failed = f", {counts.failed} failed" if counts.failed else ""
            self._bar.update(
                self._task,
                description=batch.status.replace("_", " ") + failed,
                completed=counts.completed + counts.failed,
                total=counts.total or None,
            )


def show_one(batch: BatchWire, as_json: bool) -> None:
    from penstock.cli.governing import fact

    if as_json:
        say_json(batch)
        return
    counts = batch.request_counts
    fact("batch", batch.id)
    fact("status", batch.status)
    fact("lines", f"{counts.completed} answered, {counts.failed} failed, of {counts.total}")
    fact("endpoint", batch.endpoint)
    for name, file in (("output", batch.output_file_id), ("errors", batch.error_file_id)):
        if file is not None:
            fact(name, file)
    for error in batch.errors.data if batch.errors else ():
        where = f"line {error.line}: " if error.line else ""
        note(("error: ", "bold red"), f"{where}{error.message}")
