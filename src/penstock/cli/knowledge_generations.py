"""`penstock knowledge generations`, `diff`, `rollback` and `publish`: what readers see, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.knowing import Name, Number
from penstock.cli.output import note, say, say_json

if TYPE_CHECKING:
    from penstock.knowledge.generations import Generation

LIST = examples("penstock knowledge generations my-docs/", "penstock knowledge generations my-docs/ --json")
DIFF = examples("penstock knowledge diff my-docs/", "penstock knowledge diff my-docs/ --before 3 --after 7")
BACK = examples("penstock knowledge rollback my-docs/", "penstock knowledge rollback my-docs/ --to 3")
PUBLISH = examples("penstock knowledge publish my-docs/", "penstock knowledge publish my-docs/ --number 7")


def generations(path: AppPath = HERE, name: Name = "", as_json: AsJson = False) -> None:
    """List the generations that are kept, newest first."""
    from penstock.cli.governing import moment, table
    from penstock.cli.knowing import desk
    from penstock.config import load

    with desk(load(path), name) as at:
        found = at.generations()
    if as_json:
        say_json(found)
        return
    rows = [
        (
            str(each.number),
            shown(each),
            moment(each.made_at),
            f"{each.documents:,}",
            f"{each.chunks:,}",
            each.embedder,
            each.note.partition("\n")[0],
        )
        for each in found
    ]
    table(("Number", "Shown", "Made", "Documents", "Passages", "Embedder", "Note"), rows)


def shown(generation: Generation) -> str:
    if generation.configured:
        return "penstock.toml keeps readers here"
    return "readers stay here" if generation.pinned else "readers see it" if generation.published else ""


def diff(
    path: AppPath = HERE, name: Name = "", before: Number = None, after: Number = None, as_json: AsJson = False
) -> None:
    """Show what became of documents between two generations: by default the newest and the one before it."""
    from penstock.cli.governing import table
    from penstock.cli.knowing import desk
    from penstock.config import load

    with desk(load(path), name) as at:
        found = at.changes(before, after)
    if as_json:
        say_json(found)
        return
    if not found:
        note("The two hold the same documents.")
        return
    table(("Change", "Document", "Source"), [(each.change, each.path, each.source) for each in found])


def rollback(
    path: AppPath = HERE,
    name: Name = "",
    to: Annotated[
        int | None,
        typer.Option("--to", metavar="N", min=1, help="Which; default: the one before.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show an earlier generation. Later runs make generations and do not show them, until `publish`."""
    from penstock.cli.knowing import desk
    from penstock.config import load

    with desk(load(path), name) as at:
        show(at.roll_back(to), as_json)


def publish(path: AppPath = HERE, name: Name = "", number: Number = None, as_json: AsJson = False) -> None:
    """Show a generation, by default the newest, and from then on those of later runs."""
    from penstock.cli.knowing import desk
    from penstock.config import load

    with desk(load(path), name) as at:
        show(at.publish(number), as_json)


def show(generation: Generation, as_json: bool) -> None:
    if as_json:
        say_json(generation)
        return
    stays = ". Runs no longer change that, until `penstock knowledge publish`." if generation.pinned else "."
    say(("shown  ", "green"), f"generation {generation.number}: {generation.documents:,} documents{stays}")
