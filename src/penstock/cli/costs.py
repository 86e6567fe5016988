"""`penstock costs`: who spent what, whether the provider's invoice agrees, and what was waste."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.governing import duration
from penstock.cli.groups import ShowByDefault
from penstock.cli.output import note, say, say_json
from penstock.cli.spending import draw, draw_differences, write_csv
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.access.ledger import Ledger
    from penstock.config import AppFolder
    from penstock.http.api.costs import AdviceList, CostsWire

T = TypeVar("T")
SHOW_EXAMPLES = examples(
    "penstock costs show my-docs/ --by project,model --since 7d",
    "penstock costs show my-docs/ --by user --model big --csv > costs.csv",
)
INVOICE_EXAMPLES = examples(
    "penstock costs invoice usage.csv my-docs/ --provider openai",
    "penstock costs invoice bill.csv my-docs/ --provider corp --column day=Date --column cost=Amount",
)


app = typer.Typer(cls=ShowByDefault, help="Show who spent what, and what of it was waste.")


@app.command("show", epilog=SHOW_EXAMPLES)
def show(
    path: AppPath = HERE,
    by: Annotated[
        str,
        typer.Option(
            metavar="GROUPS",
            help="What to tell apart, with commas: project, key, app, model, target, provider, operation, purpose, "
            "release, user, day.",
        ),
    ] = "model",
    since: Annotated[str, typer.Option(metavar="AGE", help="How far back: 12h, 7d.")] = "30d",
    every: Annotated[
        Literal["hour", "day"] | None, typer.Option(metavar="STEP", help="A series, by the hour or day.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP=NAME", help="Only this, for example model=big; may be given more than once."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what was spent; `penstock costs my-docs/` for short."""
    from penstock.config import load

    start = datetime.now(UTC) - duration("--since", since)
    query = {"by": by or None, "since": start.isoformat(), "every": every} | pairs("--only", only)
    found = _costs(load(path), query)
    if as_json:
        say_json(found)
    elif as_csv:
        write_csv(found)
    elif not found.total.calls:
        note("No model was called in that time.")
    else:
        draw(found, [group.strip() for group in by.split(",") if group.strip()])


@app.command("advise", epilog=examples("penstock costs advise my-docs/ --days 30"))
def advise(
    path: AppPath = HERE,
    days: Annotated[int, typer.Option(metavar="DAYS", min=1, max=366, help="How many days to look at.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Show waste in the traffic, and the money each is worth."""
    from penstock.access.advice.advice import dollars
    from penstock.config import load

    found = _advice(load(path), days)
    if as_json:
        say_json(found)
    elif not found.data:
        note(f"Nothing was found in the calls of the last {days} days.")
    for each in () if as_json else found.data:
        worth = (
            "" if each.saves_nanos is None else f"{'about ' if each.estimated else ''}{dollars(each.saves_nanos)}"
        )
        say((f"{worth or '-':>14}  ", "bold green" if worth else "dim"), each.title)
        say(" " * 16, (each.action, "dim"))


@app.command("invoice", epilog=INVOICE_EXAMPLES)
def invoice(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The provider's export, as CSV.")],
    path: AppPath = HERE,
    provider: Annotated[
        str, typer.Option(metavar="NAME", help="Whose invoice it is, as in `use`: openai, anthropic.")
    ] = "openai",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN",
            help="Which column is which, for files that are not known: day, model, calls, input, cached_input, "
            "cache_write, output, cost.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a provider's invoice against the ledger, by day and model."""
    from penstock.access.costs.invoice import compare, days_of, read_invoice
    from penstock.config import load

    lines = read_invoice(_text(file), pairs("--column", column) or None)
    first, last = days_of(lines)
    query = {
        "by": "day,target",
        "provider": provider,
        "since": datetime.combine(first, time(), UTC).isoformat(),
        "until": datetime.combine(last + timedelta(days=1), time(), UTC).isoformat(),
    }
    found = compare(lines, _rows(_costs(load(path), query)))
    if as_json:
        say_json(found)
    else:
        draw_differences(found, provider)


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """`name=value` options as a dictionary. Raises `InvalidRequest`."""
    found = {}
    for each in given or ():
        name, sign, value = each.partition("=")
        if not sign or not name or not value:
            raise InvalidRequest(
                f"{option} {each!r} is not a name and a value.", hint=f"Write {option} name=value."
            )
        found[name.strip()] = value
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{str(file)!r} cannot be read: {error}.", hint="Name a CSV file in UTF-8.") from None


def _costs(folder: AppFolder, query: dict[str, Any]) -> CostsWire:
    """From the running server, or from the ledger that the last one left."""
    import msgspec

    from penstock.access.costs.reading import read_costs
    from penstock.client import Server, running_server
    from penstock.http.api.costs import CostQuery, CostsWire, costs_wire

    given = {key: value for key, value in query.items() if value is not None}
    if server := running_server(folder):
        return msgspec.json.decode(Server.of(server).read("/api/v1/costs", **given), type=CostsWire)
    asked = _query(given, CostQuery)
    question = asked.question(asked.project)
    return costs_wire(_with_ledger(folder, lambda ledger: read_costs(ledger, question)))


def _advice(folder: AppFolder, days: int) -> AdviceList:
    """From the running server, which knows prices; from the ledger alone some of it is without money."""
    import msgspec

    from penstock.access.advice.advice import Evidence, read_advice
    from penstock.access.costs.values import CostFilter
    from penstock.client import Server, running_server
    from penstock.http.api.costs import AdviceList
    from penstock.http.api.traces import microseconds

    if server := running_server(folder):
        return msgspec.json.decode(Server.of(server).read("/api/v1/costs/advice", days=days), type=AdviceList)
    now = datetime.now(UTC)
    since = now - timedelta(days=days)
    wanted = CostFilter(project_id=None, since_us=microseconds(since) or 0, until_us=microseconds(now) or 0)
    found = _with_ledger(folder, lambda ledger: read_advice(ledger, wanted, Evidence()))
    return AdviceList(since=since, until=now, data=found)


def _query(given: dict[str, Any], kind: type[T]) -> T:
    """Raises `InvalidRequest` for what the server would refuse, too."""
    import msgspec

    from penstock.models.dialects.decoding import explain

    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise explain(error) from None


def _with_ledger(folder: AppFolder, work: Callable[[Ledger], Awaitable[T]]) -> T:
    """Does it in this process, while no server has the data folder."""
    from penstock.access.ledger import open_ledger
    from penstock.storage.location import open_database
    from penstock.storage.lock import FolderLock

    async def run() -> T:
        ledger = open_ledger(open_database(folder.database, "ledger"), folder.data)
        try:
            return await work(ledger)
        finally:
            ledger.close()

    with FolderLock(folder.make_data_folder()):
        return asyncio.run(run())


def _rows(found: CostsWire) -> list[Any]:
    from penstock.access.costs.values import CostRow

    return [CostRow(group=row.by, start_us=None, sums=row.sums) for row in found.data]
