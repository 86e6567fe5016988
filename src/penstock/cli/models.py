"""`penstock models`: how the targets of every model are, on the running server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, NamedApp, examples
from penstock.cli.groups import ListByDefault
from penstock.cli.output import note, say, say_json

if TYPE_CHECKING:
    from penstock.client import Server
    from penstock.gateway.routing.report import ModelReport, RoutesReport, TargetReport

app = typer.Typer(cls=ListByDefault, help="Show how the targets of every model are, and take one out of service.")

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")]
Number = Annotated[int, typer.Argument(metavar="TARGET", help="The number of one of its targets.", min=1)]
HEADS = ("Model", "#", "Target", "State", "Running", "Attempts", "Errors", "p50", "p99", "Ejections")


@app.command("list", epilog=examples("penstock models list my-docs/", "penstock models list my-docs/ --json"))
def list_(path: AppPath = HERE, as_json: AsJson = False) -> None:
    """List the targets of every model with their state; `penstock models my-docs/` for short."""
    import msgspec

    from penstock.cli.governing import table
    from penstock.gateway.routing.report import RoutesReport

    found = msgspec.convert(server_of(path).get("/api/v1/models"), RoutesReport)
    if as_json:
        say_json(found)
        return
    if not found.data:
        note("There are no models: this app quotes its documents.")
        return
    table(HEADS, [row(model, target) for model in found.data for target in model.targets])
    for model in found.data:
        for line in remarks(model):
            say(f"{model.name}: {line}")
    budget_line(found)


@app.command("eject", epilog=examples("penstock models eject my-docs/ smart 2"))
def eject(path: NamedApp, model: Model, target: Number = 1) -> None:
    """Take a target out of service, until it is restored."""
    change(path, model, target, "eject")


@app.command("restore", epilog=examples("penstock models restore my-docs/ smart 2"))
def restore(path: NamedApp, model: Model, target: Number = 1) -> None:
    """Put a target back that was taken out, or left out because it failed."""
    change(path, model, target, "restore")


def change(path: Path, model: str, number: int, action: str) -> None:
    place = f"/api/v1/models/{quote(model)}/targets/{number}/{action}"
    target: dict[str, Any] = server_of(path).post(place, {})
    say(f"{target['name']} is {target['state']}.")


def server_of(path: Path) -> Server:
    """The server that runs for the app. Raises `Unavailable` where none does."""
    from penstock.client import Server, running_server
    from penstock.config import load
    from penstock.errors import Unavailable

    folder = load(path)
    running = running_server(folder)
    if running is None:
        raise Unavailable(
            f"No server runs for {folder.name!r}, and only a server knows how its targets are.",
            hint=f"Start one: `penstock up {path}`.",
        )
    return Server.of(running)


def row(model: ModelReport, target: TargetReport) -> tuple[str, ...]:
    limit = "" if target.max_in_flight is None else f"/{target.max_in_flight}"
    state = target.state if target.probe_in is None else f"{target.state}, {target.probe_in:.0f} s"
    return (
        model.name,
        str(target.number),
        target.name,
        state,
        f"{target.in_flight}{limit}",
        str(target.attempts),
        "" if target.error_share is None else f"{target.error_share:.1%}",
        seconds(target.p50),
        seconds(target.p99),
        str(target.ejections),
    )


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def remarks(model: ModelReport) -> list[str]:
    """What else there is to say of a model, one line each."""
    lines = []
    if model.fallback:
        lines.append(f"falls back to {', '.join(model.fallback)}; {model.fallbacks} requests did")
    if model.longer:
        lines.append(f"longer requests go to {model.longer}; {model.longer_requests} did")
    if model.retries or model.hedges:
        lines.append(f"{model.retries} retries, {model.hedges} hedges")
    if (difficulty := model.difficulty) is not None:
        share = "none yet" if difficulty.share is None else f"{difficulty.share:.0%} of the answers"
        saved = f", which saved ${difficulty.saved_nanos / 1e9:,.4f}" if difficulty.saved_nanos else ""
        lines.append(f"easy requests go to {difficulty.easy_model}: {share}{saved}")
    return lines


def budget_line(found: RoutesReport) -> None:
    if found.budget is not None and found.budget.denied:
        note(f"{found.budget.denied} further attempts were not made, because there had been too many.")
