"""`penstock limits`: what is used of every limit, and when it frees."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import console, harmless, is_terminal, note, say, say_json

if TYPE_CHECKING:
    from penstock.access.limits.values import CounterUsage
    from penstock.config import AppFolder
    from penstock.http.api.limits import LimitWire

EXAMPLES = examples("penstock limits my-docs/", "penstock limits my-docs/ --project team-a --json")
BAR = 10
TIGHT, FULL = 0.8, 1.0


def limits(
    path: AppPath = HERE,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only those of one project.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is used of every limit, and what is left."""
    from penstock.config import load

    found = _list(load(path), project)
    if as_json:
        say_json(found)
    elif not found:
        note("Nothing is limited. Add [[limits]] to penstock.toml.")
    elif is_terminal(sys.stdout):
        _draw(found)
    else:
        for each in found:
            say("\t".join([each.limit, each.scope or "-", _used(each), _resets(each)]))


def _list(folder: AppFolder, project: str | None) -> tuple[LimitWire, ...]:
    """From the running server, or from what the last one left."""
    import msgspec

    from penstock.client import Server, running_server
    from penstock.http.api.limits import LimitList, limit_wire

    if server := running_server(folder):
        answer = Server.of(server).read("/api/v1/limits", project_id=project)
        return msgspec.json.decode(answer, type=LimitList).data
    return tuple(limit_wire(each) for each in asyncio.run(_left_behind(folder, project)))


async def _left_behind(folder: AppFolder, project: str | None) -> list[CounterUsage]:
    from contextlib import AsyncExitStack

    from penstock.access.store import open_access
    from penstock.platform.limits import open_limits
    from penstock.storage.lock import FolderLock

    async with AsyncExitStack() as stack:
        stack.enter_context(FolderLock(folder.make_data_folder()))
        access = open_access(folder)
        stack.push_async_callback(access.close)
        limits = await open_limits(folder, access, stack)
        return await limits.usage(project)


def _draw(found: tuple[LimitWire, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("limit", "scope", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("used", "", "resets (UTC)"):
        table.add_column(head, no_wrap=True)
    for each in found:
        share = min(1.0, each.used / each.amount)
        style = "red" if share >= FULL else "yellow" if share >= TIGHT else "green"
        filled = round(share * BAR)
        bar = Text("█" * filled, style) + Text("·" * (BAR - filled), "dim")
        scope = Text(harmless(each.scope)) if each.scope else Text("-", "dim")
        table.add_row(harmless(each.limit), scope, _used(each), bar, _resets(each))
    console(sys.stdout).print(table)


def _used(each: LimitWire) -> str:
    """`3 of 10 requests per 1m`, `0.25 of 5.00 USD this month`."""
    from penstock.access.limits.windows import window

    if each.dimension == "usd":
        amounts = f"{each.used / 1e9:.2f} of {each.amount / 1e9:.2f} USD"
    else:
        unit = "requests" if each.dimension == "concurrent" else each.dimension
        amounts = f"{each.used:,} of {each.amount:,} {unit}"
    return f"{amounts} {window(each.window).words}"


def _resets(each: LimitWire) -> str:
    if each.resets_us is None:
        return "-"
    return f"{datetime.fromtimestamp(each.resets_us / 1e6, UTC):%Y-%m-%d %H:%M}"
