"""`penstock knowledge verify`: whether everything still is what was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.knowing import Name
from penstock.cli.output import count, harmless, note, say, say_json
from penstock.errors import Conflict

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.knowledge.verify import Verification

EXAMPLES = examples("penstock knowledge verify my-docs/", "penstock knowledge verify my-docs/ --repair --json")
SHOWN = 20


def verify(
    path: AppPath = HERE,
    name: Name = "",
    repair: Annotated[bool, typer.Option("--repair", help="Put right what differs, and only that.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare documents, passages, full-text rows, vectors, also those elsewhere, and graph with what was written.
    Ends with 1 if they differ."""
    from penstock.cli.knowing import named
    from penstock.client import running_server
    from penstock.config import load

    folder = load(path)
    name = named(folder, name)
    if server := running_server(folder):
        raise Conflict(
            f"The server at {server.url} is at work on the knowledge.",
            hint="Stop it first: nothing may change while everything is compared.",
        )
    found = asyncio.run(_repair(folder, name) if repair else _check(folder, name))
    if as_json:
        say_json(found)
    else:
        _show(found)
    if not found.sound:
        raise typer.Exit(1)


async def _check(folder: AppFolder, name: str) -> Verification:
    if folder.settings.knowledge[name].store is not None:
        from penstock.platform import Platform

        async with Platform.open(folder) as platform:
            return await platform.knowledge[name].verify()
    from penstock.knowledge.stores.sqlite import SqliteStore
    from penstock.knowledge.verify import Verifier
    from penstock.storage.lock import FolderLock

    with FolderLock(folder.make_data_folder()):
        store = SqliteStore(folder.data / f"knowledge-{name}.db")
        try:
            return await Verifier(store).check()
        finally:
            store.close()


async def _repair(folder: AppFolder, name: str) -> Verification:
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        sources: Any = platform.lasting.sources[name]
        return await platform.knowledge[name].verify(sources)


def _show(found: Verification) -> None:
    for each in found.differences[:SHOWN]:
        note(("  ! ", "yellow"), harmless(f"{each.part}: {each.subject}: {each.reason}"))
    if len(found.differences) > SHOWN:
        note(f"  and {count(len(found.differences) - SHOWN, 'more difference')} like these.")
    where = f"generation {found.generation}"
    if not found.differences:
        say(("sound  ", "green"), f"{where} is what was written")
    elif not found.repaired:
        say(("differs  ", "red"), f"{where}; `penstock knowledge verify --repair` puts it right")
    elif found.sound:
        say(("repaired  ", "green"), f"{where} is what was written")
    else:
        say(("differs  ", "red"), f"{count(len(found.left), 'difference')} could not be put right")
