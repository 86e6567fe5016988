"""What commands about keys, projects and audit records share: who does the work, and how it is written."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from penstock.cli.output import Piece, console, is_terminal, say
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.access.store import Access
    from penstock.config import AppFolder

T = TypeVar("T")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def with_access(folder: AppFolder, work: Callable[[Access], Awaitable[T]]) -> T:
    """Does it in this process, while no server has the data folder."""
    from penstock.access.store import open_access
    from penstock.storage.lock import FolderLock

    async def run() -> T:
        access = open_access(folder)
        try:
            return await work(access)
        finally:
            await access.close()

    with FolderLock(folder.make_data_folder()):
        return asyncio.run(run())


def duration(option: str, text: str) -> timedelta:
    """`90d` and the like. Raises `InvalidRequest` that names the option."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise InvalidRequest(f"{option} {text!r} is not a time.", hint="Write 30m, 24h or 90d.")
    return timedelta(seconds=int(match[1]) * SECONDS[match[2]])


def ends_at(option: str, text: str | None) -> datetime | None:
    """When something ends that goes on for `text` from now; `None` for never."""
    return None if text is None else datetime.now(UTC) + duration(option, text)


def moment(us: int | None, never: str = "") -> str:
    """A time for people, in their own zone."""
    return never if us is None else datetime.fromtimestamp(us / 1e6).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, wraps: bool = True) -> None:
    """A table on a terminal, no wider than it: longer cells wrap, or else are cut; lines with tabs for a pipe."""
    from penstock.cli.output import harmless

    if not is_terminal(sys.stdout):
        for row in rows:
            say("\t".join(row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(harmless(cell), no_wrap=not wraps) for cell in row))
    console(sys.stdout).print(drawn)


def fact(name: str, value: str) -> None:
    pieces: list[Piece] = [(f"{name:<10}", "dim"), value]
    say(*pieces)
