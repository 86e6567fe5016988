"""`penstock knowledge verify`: whether everything still is what was written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.knowing import Name
from penstock.cli.output import console, count, harmless, is_terminal, note, say, say_json

if TYPE_CHECKING:
    from penstock.client import Server
    from penstock.config import AppFolder
    from penstock.knowledge.verify import Checking, Tell, VerificationReport

EXAMPLES = examples("penstock knowledge verify my-docs/", "penstock knowledge verify my-docs/ --repair --json")
SHOWN = 20
DOING = {
    "waiting": "waiting for a run to end",
    "words": "comparing words",
    "documents": "comparing documents",
    "vectors": "comparing vectors",
    "elsewhere": "comparing passages elsewhere",
    "repair": "reading what is damaged",
}


def verify(
    path: AppPath = HERE,
    name: Name = "",
    repair: Annotated[bool, typer.Option("--repair", help="Put right what differs, and only that.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare documents, passages, full-text rows, vectors, also those elsewhere, and graph with what was written.
    Where a server is running, it does so, and answers meanwhile. Ends with 1 if they differ."""
    from penstock.cli.knowing import named
    from penstock.client import Server, running_server
    from penstock.config import load

    folder = load(path)
    name = named(folder, name)
    with checking_bar() as draw:
        if server := running_server(folder):
            found = _by_server(Server.of(server), name, repair, draw)
        else:
            found = asyncio.run(_repair(folder, name, draw) if repair else _check(folder, name, draw))
    if as_json:
        say_json(found)
    else:
        _show(found)
    if not found.sound:
        raise typer.Exit(1)


def _by_server(server: Server, name: str, repair: bool, draw: Tell) -> VerificationReport:
    import msgspec

    from penstock.errors import Unavailable
    from penstock.knowledge.verify import Checking, VerificationReport

    path = f"/api/v1/knowledge/{name}/verify?stream=true" + ("&repair=true" if repair else "")
    for event in server.stream(path, {}):
        if "report" in event:
            return msgspec.convert(event["report"], VerificationReport)
        draw(msgspec.convert(event["progress"], Checking))
    raise Unavailable("The server ended the check before its end.", hint="Ask again.")


async def _check(folder: AppFolder, name: str, draw: Tell) -> VerificationReport:
    if folder.settings.knowledge[name].store is not None:
        from penstock.platform import Platform

        async with Platform.open(folder) as platform:
            return (await platform.knowledge[name].verify(tell=draw)).report()
    from penstock.knowledge.stores.sqlite import SqliteStore
    from penstock.knowledge.verify import Verifier
    from penstock.storage.lock import FolderLock

    with FolderLock(folder.make_data_folder()):
        store = SqliteStore(folder.data / f"knowledge-{name}.db")
        try:
            return (await Verifier(store).check(draw)).report()
        finally:
            store.close()


async def _repair(folder: AppFolder, name: str, draw: Tell) -> VerificationReport:
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        sources: Any = platform.lasting.sources[name]
        return (await platform.knowledge[name].verify(sources, draw)).report()


@contextmanager
def checking_bar() -> Iterator[Tell]:
    """What to call with where the check is; draws only on a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda at: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bars:
        task = bars.add_task(DOING["waiting"], total=None)
        doing = ""

        def draw(at: Checking) -> None:
            nonlocal doing
            if at.part != doing:  # the time that is left is that of the part
                doing = at.part
                bars.reset(task, description=DOING[doing])
            bars.update(task, completed=at.done, total=at.total or None)

        yield draw


def _show(found: VerificationReport) -> None:
    for each in found.differences[:SHOWN]:
        note(("  ! ", "yellow"), harmless(f"{each.part}: {each.subject}: {each.reason}"))
    if found.found > SHOWN:
        note(f"  and {count(found.found - SHOWN, 'more difference')} like these.")
    where = f"generation {found.generation}"
    if not found.found:
        say(("sound  ", "green"), f"{where} is what was written")
    elif not found.repaired:
        say(("differs  ", "red"), f"{where}; `penstock knowledge verify --repair` puts it right")
    elif found.sound:
        say(("repaired  ", "green"), f"{where} is what was written")
    else:
        say(("differs  ", "red"), f"{count(found.remaining, 'difference')} could not be put right")
