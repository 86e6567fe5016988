"""`penstock knowledge move`: the vectors to a vector database."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.knowing import Name
from penstock.cli.output import console, is_terminal, note, say, say_json
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.config import AppFolder
    from penstock.config.elsewhere import StoreSettings
    from penstock.knowledge.moving import Proof
    from penstock.knowledge.stores.external.mirror import Progress
    from penstock.knowledge.stores.sqlite import SqliteStore

EXAMPLES = examples(
    "penstock knowledge move my-docs/ --to qdrant://localhost:6333",
    "penstock knowledge move my-docs/ --to postgresql://app@db.example.com/app --key VECTORS_PASSWORD --write",
)
FILE = "penstock.toml"


def move(
    path: AppPath = HERE,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="Where, as in [knowledge.NAME.store] url.")] = "",
    key: Annotated[
        str, typer.Option("--key", metavar="VARIABLE", help="The environment variable with its key or password.")
    ] = "",
    write: Annotated[bool, typer.Option("--write", help="Put it into penstock.toml, so that it is used.")] = False,
    name: Name = "",
    as_json: AsJson = False,
) -> None:
    """Copy the vectors of the knowledge to a vector database, and prove that searches find the same there.

    Documents and their texts stay in the data folder. What lay there under the same name is replaced.
    """
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.cli.knowing import named
    from penstock.cli.pulling import fetch_models
    from penstock.client import running_server
    from penstock.config import load
    from penstock.config.elsewhere import StoreSettings
    from penstock.config.secret import Secret
    from penstock.knowledge.stores.external.opening import checked

    if not to:
        raise ConfigError("There is no place to move to.", hint="Say where: --to qdrant://localhost:6333.")
    if checked(to).password is not None:
        raise ConfigError(
            "The address of the vector store has a password in it.",
            hint="Put it in the environment, and name the variable: --key VECTORS_PASSWORD.",
        )
    folder = load(path)
    if server := running_server(folder):
        raise ConfigError(
            f"the server at {server.url} has the documents open.", hint="Stop it, move, and start it again."
        )
    name = named(folder, name)
    check_before_start(folder)
    fetch_models(pulled_embedders(folder))
    store = StoreSettings(url=to, key=Secret.from_env(key) if key else None)
    proof = asyncio.run(_move(folder, name, store))
    if write:
        _write(folder, name, to, key)
    if as_json:
        say_json(proof)
    else:
        _show(proof, name, to, key, written=write)


async def _move(folder: AppFolder, name: str, store: StoreSettings) -> Proof:
    from penstock.knowledge.moving import move as moved
    from penstock.knowledge.stores.sqlite import SqliteStore
    from penstock.models.reading import open_embedder
    from penstock.platform.backends import elsewhere_of
    from penstock.storage.lock import FolderLock

    settings = folder.settings.knowledge[name]
    with FolderLock(folder.make_data_folder()):
        wanted = folder.settings.embedder(settings.embedder)
        embedder = await open_embedder(settings.embedder, wanted, folder.root, lambda progress: None)
        try:
            there = await elsewhere_of(name, store, embedder)
            file = SqliteStore(folder.data / f"knowledge-{name}.db")
            try:
                return await _with_bar(lambda tell: moved(file, embedder, there, tell), file)
            finally:
                file.close()
                await there.store.close()
        finally:
            await embedder.close()


async def _with_bar(work: Callable[[Progress], Awaitable[Proof]], file: SqliteStore) -> Proof:
    """Does it under a bar, where there is a terminal."""
    if not is_terminal(sys.stderr):
        return await work(lambda copied: None)
    from rich import progress as rich
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("copying"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn())
    with rich.Progress(*columns, console=console(sys.stderr), transient=True) as bars:
        task = bars.add_task("", total=file.newest().chunks)
        return await work(lambda copied: bars.update(task, completed=copied))


def _write(folder: AppFolder, name: str, to: str, key: str) -> None:
    from penstock.config.editing import with_settings

    if folder.file is None:
        raise ConfigError(f"{folder.root} has no {FILE} to write to.", hint="Make one: penstock init.")
    text = folder.file.read_text("utf-8")
    changed = with_settings(text, f"knowledge.{name}.store", {"url": to})
    if key:
        changed = changed.replace(f'url = "{to}"', f'url = "{to}"\nkey = {{ env = "{key}" }}', 1)
    made = folder.file.with_suffix(".toml.new")
    made.write_text(changed, "utf-8")
    made.replace(folder.file)


def _show(proof: Proof, name: str, to: str, key: str, *, written: bool) -> None:
    say(("copied", "green"), f"  {proof.passages:,} passages of generation {proof.generation}, none missing")
    say(
        ("proven", "green"),
        f"  {proof.sampled:,} searches: {proof.recall:.1%} of the nearest passages are the same, cosines differ by"
        f" at most {proof.cosine_error:.5f}",
    )
    if written:
        say(f"{FILE} says so now; the next start searches there.")
        return
    note("To use it, put this into penstock.toml (or run it again with --write):")
    say(f'\n[knowledge.{name}.store]\nurl = "{to}"' + (f'\nkey = {{ env = "{key}" }}' if key else ""))
