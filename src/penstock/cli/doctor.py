"""`penstock doctor`: what is right and wrong with this machine and an app, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.findings import Finding, State, fail
from penstock.cli.output import say, say_json
from penstock.cli.prose import indented
from penstock.errors import PenstockError

EXAMPLES = examples(
    "penstock doctor my-docs/",
    "penstock doctor --quick --json",
)
MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok  ", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("FAIL", "bold red"),
    "skip": ("skip", "dim"),
}
MARGIN = 21


def doctor(
    path: AppPath = HERE,
    quick: Annotated[bool, typer.Option("--quick", help="Start no engine and read no model again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check this machine and an app, and say what to do about each problem. Exit code 1 where something fails."""
    findings = []
    for finding in examine(path, quick):
        findings.append(finding)
        if not as_json:
            _show(finding)
    states = Counter(finding.state for finding in findings)
    if as_json:
        say_json({"ok": not states["fail"], "findings": findings})
    else:
        say("")
        say(_verdict(states))
    if states["fail"]:
        raise typer.Exit(1)


def examine(path: Path, quick: bool) -> Iterator[Finding]:
    """Every check, one at a time as it is done."""
    from penstock.cli.installation import check_app
    from penstock.cli.machine import check_machine
    from penstock.config import load
    from penstock.models.pull import cache_folder

    try:
        folder = load(path)
    except PenstockError as error:
        yield from check_machine((cache_folder(),))
        yield fail("Configuration", error.message, error.hint)
        return
    yield from check_machine((cache_folder(), folder.data))
    yield from check_app(folder, quick)


def _show(finding: Finding) -> None:
    detail = indented(finding.detail, " " * MARGIN).lstrip()
    say(MARKS[finding.state], f"  {finding.check:<{MARGIN - 6}}{detail}")
    if finding.advice:
        advice = indented(finding.advice, " " * (MARGIN + 2)).lstrip()
        say(" " * MARGIN, ("→ ", "cyan"), advice)


def _verdict(states: Counter[State]) -> str:
    if states["fail"]:
        return f"{states['fail']} of these must be put right before Penstock works here."
    if states["warn"]:
        return "Penstock works here; see the notes above."
    return "All is well."
