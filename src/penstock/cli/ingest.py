"""`penstock ingest`: brings an app's knowledge in line with its files."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.ingestion import ingestion_bar, show_summaries
from penstock.cli.output import note, say_json
from penstock.cli.pulling import fetch_models

if TYPE_CHECKING:
    from penstock.client import Server
    from penstock.config import AppFolder
    from penstock.knowledge.values import IngestSummary

EXAMPLES = examples("penstock ingest my-docs/", "penstock ingest my-docs/ --json", "penstock ingest --allow-delete")
LOOK_SECONDS = 0.25


def ingest(
    path: AppPath = HERE,
    allow_delete: Annotated[
        bool, typer.Option("--allow-delete", help="Forget also more than max_delete of a source's documents.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take in new and changed documents, and forget deleted ones. Unchanged files cost nothing."""
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.client import Server, running_server
    from penstock.config import load

    folder = load(path)
    if server := running_server(folder):
        note(f"The server at {server.url} takes them in.")
        summaries = _by_server(Server.of(server), folder, allow_delete)
    else:
        check_before_start(folder)
        fetch_models(pulled_embedders(folder))
        summaries = asyncio.run(_by_itself(folder, allow_delete))
    if as_json:
        say_json(summaries)
    else:
        show_summaries(summaries)


async def _by_itself(folder: AppFolder, allow_delete: bool) -> dict[str, IngestSummary]:
    from penstock.knowledge.ingestion.records import RunRules
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        with ingestion_bar() as draw:
            return await platform.ingest(draw, RunRules(allow_delete=allow_delete))


def _by_server(server: Server, folder: AppFolder, allow_delete: bool) -> dict[str, IngestSummary]:
    """Asks the server for a run of each knowledge, and watches it."""
    import msgspec

    from penstock.knowledge.ingestion.log import summary_of
    from penstock.knowledge.ingestion.records import OVER, Run

    summaries = {}
    with ingestion_bar() as draw:
        for name in folder.settings.knowledge:
            path = f"/api/v1/knowledge/{name}/runs"
            asked = f"{path}?allow_delete=true" if allow_delete else path
            run = msgspec.convert(server.post(asked, {}), Run)
            while run.state not in OVER:
                time.sleep(LOOK_SECONDS)
                run = msgspec.convert(server.get(f"{path}/{run.id}"), Run)
                if run.progress is not None:
                    draw(name, run.progress)
            summaries[name] = summary_of(run)
    return summaries
