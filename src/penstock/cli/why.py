"""`penstock why`: which passages an answer hangs on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import note, say, say_json

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.http.api.why import WhyAnswer

EXAMPLES = examples("penstock why last my-docs/", "penstock why 3f2a my-docs/ --json")
SHOWN = 70


def why(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace's id, its first digits, or `last`.")],
    path: AppPath = HERE,
    as_json: AsJson = False,
) -> None:
    """Answer a trace's question again with each passage left out, and name those that the answer hangs on."""
    import msgspec

    from penstock.cli.traces import complete
    from penstock.client import Server, running_server
    from penstock.config import load
    from penstock.http.api.why import WhyAnswer

    folder = load(path)
    trace_id = complete(folder, trace)
    if server := running_server(folder):
        found = msgspec.convert(Server.of(server).post(f"/api/v1/traces/{trace_id}/why", {}), WhyAnswer)
    else:
        found = asyncio.run(_by_itself(folder, trace_id))
    if as_json:
        say_json(found)
    else:
        _show(found)


async def _by_itself(folder: AppFolder, trace_id: str) -> WhyAnswer:
    from penstock.exchange import LOCAL
    from penstock.http.api.why import why_of
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        return await why_of(platform.services, LOCAL, trace_id)


def _show(found: WhyAnswer) -> None:
    say(("question  ", "dim"), found.question)
    say(("answer    ", "dim"), " ".join(found.answer.split()) or "The documents do not say.")
    for words in found.searched:
        if words != found.question:
            say(("searched  ", "dim"), words)
    if not found.same_release:
        note("The app has changed since that answer: this is how it answers now.")
    if not found.same_generation:
        note(f"The documents of that time are gone: these are those of generation {found.generation}.")
    say("")
    say(("influence  words changed  probability  without it", "dim"))
    for number, each in enumerate(found.passages):
        hangs = number < found.hangs_on
        figures = f"{each.influence:>9.0%}  {each.words_changed:>13.0%}  {each.probability:>11.0%}"
        where = " › ".join([each.document, *each.heading]) + (f", page {each.page}" if each.page else "")
        say((figures, "bold green") if hangs else figures, f"  {'*' if hangs else ' '} {where}")
        without = " ".join(each.answer.split()) or "The documents do not say."
        if hangs:
            say((f"{'':>39}{without[:SHOWN]}{'…' if len(without) > SHOWN else ''}", "dim"))
    if not found.hangs_on:
        say("The answer hangs on none of them alone.")
