"""How costs are written: as a table with bars on a terminal, as lines for a pipe, as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

from penstock.cli.governing import table
from penstock.cli.output import console, harmless, is_terminal, note, say

if TYPE_CHECKING:
    from penstock.access.costs.invoice import Difference
    from penstock.access.costs.values import Sums
    from penstock.http.api.costs import CostsWire, CostWire

BAR = 20
NANOS = 1_000_000_000


def dollars(nanos: int) -> str:
    from penstock.access.advice.advice import dollars as written

    return written(nanos)


def write_csv(found: CostsWire) -> None:
    import msgspec

    groups = list(found.data[0].by) if found.data else []
    names = list(msgspec.structs.asdict(found.total))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    series = ["start"] if any(row.start for row in found.data) else []
    writer.writerow([*series, *groups, *names])
    for row in found.data:
        sums = msgspec.structs.asdict(row.sums)
        start = [row.start.isoformat()] if row.start else []
        writer.writerow([*start, *row.by.values(), *sums.values()])
    if not found.data:
        writer.writerow(msgspec.structs.asdict(found.total).values())


def draw(found: CostsWire, groups: list[str]) -> None:
    if not is_terminal(sys.stdout):
        for row in found.data:
            say("\t".join([*_names(row), str(row.sums.calls), f"{row.sums.cost_nanos / NANOS:.9f}"]))
        say("\t".join(["total", str(found.total.calls), f"{found.total.cost_nanos / NANOS:.9f}"]))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in (*(["from"] if any(row.start for row in found.data) else []), *groups):
        drawn.add_column(head)
    for head in ("calls", "tokens in", "out", "cost"):
        drawn.add_column(head, justify="right", no_wrap=True)
    drawn.add_column("", no_wrap=True)
    most = max((row.sums.cost_nanos for row in found.data), default=0)
    for row in found.data:
        filled = round(BAR * row.sums.cost_nanos / most) if most else 0
        bar = Text("█" * filled, "green") + Text("·" * (BAR - filled), "dim")
        drawn.add_row(*(harmless(name) for name in _names(row)), *_figures(row.sums), bar)
    console(sys.stdout).print(drawn)
    _say_total(found)


def _names(row: CostWire) -> list[str]:
    start = [f"{row.start:%Y-%m-%d %H:%M}"] if row.start else []
    return [*start, *(name or "-" for name in row.by.values())]


def _figures(sums: Sums) -> tuple[str, ...]:
    read = sums.input + sums.cached_input + sums.cache_write
    return f"{sums.calls:,}", f"{read:,}", f"{sums.output + sums.reasoning:,}", dollars(sums.cost_nanos)


def _say_total(found: CostsWire) -> None:
    total = found.total
    say(
        (f"{dollars(total.cost_nanos)}", "bold"),
        f" for {total.calls:,} calls since {found.since:%Y-%m-%d %H:%M} UTC",
    )
    if total.unpriced:
        most = f", at most {dollars(total.open_nanos)}" if total.open_nanos else ""
        note(f"{total.unpriced:,} calls have no known cost{most}, and are not in it.")
    if total.estimated:
        note(f"{total.estimated:,} calls broke off, and their tokens are estimated.")
    if total.cached:
        note(f"{total.cached:,} calls were answered from the cache, which saved {dollars(total.saved_nanos)}.")
    if found.truncated:
        note("There are more groups than are shown.")


def draw_differences(found: list[Difference], provider: str) -> None:
    rows = []
    for each in found:
        theirs, ours = each.theirs, each.ours
        rows.append(
            [
                each.day,
                each.model or "all models",
                "-" if theirs is None or theirs.cost_nanos is None else dollars(theirs.cost_nanos),
                "-" if ours is None or ours.cost_nanos is None else dollars(ours.cost_nanos),
                "-" if each.cost_nanos is None else dollars(each.cost_nanos),
                "-" if each.tokens is None else f"{each.tokens:+,}",
            ]
        )
    table(("day", "model", provider, "ledger", "difference", "tokens"), rows)
    money = sum(each.cost_nanos or 0 for each in found)
    tokens = sum(each.tokens or 0 for each in found)
    note(f"{provider} has {dollars(money)} and {tokens:+,} tokens more than the ledger, over {len(found)} lines.")
