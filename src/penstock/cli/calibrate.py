"""`penstock knowledge calibrate`: when an app says that its documents do not say, fitted on its own questions."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import is_terminal, note, say, say_json
from penstock.errors import ConfigError

if TYPE_CHECKING:
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

    Each question is asked of all documents, and again of all but its own, which do not answer it.
    """
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.cli.pulling import fetch_models
    from penstock.client import running_server
    from penstock.config import load
    from penstock.knowledge.calibrating import read_golden

    folder = load(path)
    if server := running_server(folder):
        raise ConfigError(
            f"the server at {server.url} has the documents open.", hint="Stop it, calibrate, and start it again."
        )
    golden = read_golden(questions or folder.root / "evals" / "golden.jsonl")
    check_before_start(folder)
    fetch_models(pulled_embedders(folder))
    fitted, file = asyncio.run(_fit(folder, golden))
    if as_json:
        say_json(fitted)
        return
    _show(fitted)
    note(f"Written to {file}.")
    if folder.settings.app.threshold is not None:
        note(f"`threshold = {folder.settings.app.threshold:g}` under [app] still holds; take it out to use this.")


async def _fit(folder: AppFolder, golden: tuple[Golden, ...]) -> tuple[Fitted, Path]:
    from penstock.clock import SYSTEM_CLOCK
    from penstock.knowledge.abstain import AppCalibration, calibration
    from penstock.knowledge.calibrating import ask_all, check_enough, fit, write_calibration
    from penstock.knowledge.evidence import EvidenceFinder, SentenceVectors
    from penstock.platform import Platform

    check_enough(golden)
    async with Platform.open(folder) as platform:
        await platform.ingest()
        ((name, base),) = platform.knowledge.items()
        embedder = platform.services.embedders[folder.settings.knowledge[name].embedder]
        cases = await ask_all(base, EvidenceFinder(SentenceVectors(embedder), calibration()), golden)
        about = AppCalibration(
            threshold=0.0,
            shift=0.0,
            knowledge=name,
            generation=base.generation(),
            embedder=embedder.fingerprint,
            answerable=0,
            unanswerable=0,
            fitted_us=SYSTEM_CLOCK.now_us(),
        )
        fitted = fit(cases, about)
        return fitted, write_calibration(folder.data, fitted.calibration)


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
