"""`penstock knowledge calibrate`: when an app says that its documents do not say, fitted on its own questions."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import is_terminal, note, say, say_json
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.client import Server
    from penstock.config import AppFolder
    from penstock.knowledge.calibrating import Fitted, Golden, Step

EXAMPLES = examples(
    "penstock knowledge calibrate my-docs/",
    "penstock knowledge calibrate my-docs/ --questions questions.jsonl --json",
)
BAR = 20


def calibrate(
    path: AppPath = HERE,
    questions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The questions, as JSON lines. Default: evals/golden.jsonl of the app."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit when to say that the documents do not say, on the app's own questions.

    Each question is asked of all documents, and again of all but its own, which do not answer it. A server that
    runs takes over what comes of it.
    """
    from penstock.client import Server, running_server
    from penstock.config import load
    from penstock.knowledge.calibrating import read_golden, write_calibration

    folder = load(path)
    golden = read_golden(questions or folder.root / "evals" / "golden.jsonl")
    running = running_server(folder)
    server = Server.of(running) if running else None
    fitted = _fit_served(server, folder, golden) if server else _fit(folder, golden)
    file = write_calibration(folder.data, fitted.calibration)
    if server is not None:
        _take_over(server)
    if as_json:
        say_json(fitted)
        return
    _show(fitted)
    note(f"Written to {file}.")
    if folder.settings.app.threshold is not None:
        note(f"`threshold = {folder.settings.app.threshold:g}` under [app] still holds; take it out to use this.")


def _fit_served(server: Server, folder: AppFolder, golden: tuple[Golden, ...]) -> Fitted:
    import msgspec

    from penstock.cli.knowing import named
    from penstock.knowledge.calibrating import Fitted

    body = {"questions": msgspec.to_builtins(golden)}
    return msgspec.convert(server.post(f"/api/v1/knowledge/{named(folder, '')}/calibrate", body), Fitted)


def _fit(folder: AppFolder, golden: tuple[Golden, ...]) -> Fitted:
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.cli.knowing import named
    from penstock.cli.pulling import fetch_models
    from penstock.exchange import LOCAL
    from penstock.http.api.calibrate import fitted
    from penstock.knowledge.calibrating import check_enough
    from penstock.platform import Platform

    check_enough(golden)
    check_before_start(folder)
    fetch_models(pulled_embedders(folder))

    async def run() -> Fitted:
        async with Platform.open(folder) as platform:
            await platform.ingest()
            return await fitted(platform.services, LOCAL, named(folder, ""), golden)

    return asyncio.run(run())


def _take_over(server: Server) -> None:
    try:
        server.post("/api/v1/config/reload", {})
    except PenstockError as error:
        note(f"The server that runs goes on as before: {error}")


def _show(fitted: Fitted) -> None:
    """What each threshold would do; the chosen one stands among them."""
    made = fitted.calibration
    say(f"{made.answerable} answerable and {made.unanswerable} unanswerable questions of {made.knowledge!r}")
    say("")
    say(("threshold   says nothing: precision  recall   still answered", "dim"))
    for step in sorted([*fitted.table, fitted.chosen], key=lambda step: step.threshold):
        _line(step, chosen=step is fitted.chosen)
    say("")
    say(f"before: threshold {fitted.shipped.threshold:g}", _percent(fitted.shipped))


def _line(step: Step, *, chosen: bool) -> None:
    precision = "      -" if step.precision is None else f"{step.precision:>7.1%}"
    bar = f"  {'█' * round(BAR * step.kept)}" if is_terminal(sys.stdout) else ""
    text = f"{step.threshold:>9.3f}   {precision:>23}  {step.recall:>6.1%}   {step.kept:>14.1%}{bar}"
    say((text, "bold green") if chosen else text, "  <- chosen" if chosen else "")


def _percent(step: Step) -> str:
    return f", recall {step.recall:.1%}, still answered {step.kept:.1%}"
