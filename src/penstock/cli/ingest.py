"""`penstock ingest`: brings an app's knowledge in line with its files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.ingestion import ingestion_bar, show_summaries
from penstock.cli.output import note, say_json
from penstock.cli.pulling import fetch_models

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.knowledge.values import IngestSummary

EXAMPLES = examples("penstock ingest my-docs/", "penstock ingest my-docs/ --json")


def ingest(path: AppPath = HERE, as_json: AsJson = False) -> None:
    """Take in new and changed documents, and forget deleted ones. Unchanged files cost nothing."""
    from penstock.cli.installation import check_before_start, pulled_embedders
    from penstock.client import Server, running_server
    from penstock.config import load

    folder = load(path)
    if server := running_server(folder):
        note(f"The server at {server.url} takes them in.")
        summaries = _by_server(Server.of(server), folder)
    else:
        check_before_start(folder)
        fetch_models(pulled_embedders(folder))
        summaries = asyncio.run(_by_itself(folder))
    if as_json:
        say_json(summaries)
    else:
        show_summaries(summaries)


async def _by_itself(folder: AppFolder) -> dict[str, IngestSummary]:
    from penstock.platform import Platform

    async with Platform.open(folder) as platform:
        with ingestion_bar() as draw:
            return await platform.ingest(draw)


def _by_server(server: Any, folder: AppFolder) -> dict[str, IngestSummary]:
    import msgspec

    from penstock.knowledge.values import IngestSummary

    return {
        name: msgspec.convert(server.post(f"/api/v1/knowledge/{name}/ingest", {}), IngestSummary)
        for name in folder.settings.knowledge
    }
