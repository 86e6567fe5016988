"""Where the documents of a knowledge base come from: each source, when it is looked at, and what it gave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.clock import SYSTEM_CLOCK
from penstock.config.knowledge import KnowledgeSettings
from penstock.config.sources import GitSettings, S3Settings, SourceSettings, SqlSettings, WebSettings
from penstock.console.knowledge_head import KnowledgeHead, head_of, own_base_of
from penstock.console.rendering import View, page_route, render
from penstock.gateway.services import Services
from penstock.knowledge.ingestion.records import Run
from penstock.knowledge.inspection import SourceHeld
from penstock.knowledge.readers import reader_of
from penstock.knowledge.sources.schedule import Schedule

SOURCES = View("knowledge_sources.html", "Knowledge")
LOOKED_AT = 50
"""Runs in which the last word about a source is looked for."""

KINDS = {
    "folder": "The app's files",
    "uploads": "Dropped in",
    "pushed": "Pushed through the API",
    "web": "Web pages",
    "s3": "Bucket",
    "git": "Git repository",
    "sql": "Database",
}


class SourceCard(Struct, frozen=True, kw_only=True):
    """One source. `place` says where it is, `due_us` when it is looked at next, `problem` what the last run that
    looked at it could not do. `href` lists its documents. Sources that are not `configured` are of earlier days."""

    name: str
    kind: str
    place: str
    configured: bool
    held: SourceHeld | None
    href: str
    schedule: str
    due_us: int | None
    watched: bool
    max_delete: float | None
    readers: tuple[str, ...]
    metadata: tuple[str, ...]
    problem: str
    run_href: str


class SourcesPage(Struct, frozen=True, kw_only=True):
    title: str
    head: KnowledgeHead
    sources: tuple[SourceCard, ...]


async def show(request: Request) -> Response:
    base, reader = own_base_of(request), reader_of(principal_of(request))
    services: Services = request.app.state.services
    counts, held = await asyncio.to_thread(lambda: (base.counts(reader), base.inspection.sources(reader)))
    runs = await base.runs.latest(LOOKED_AT)
    head = head_of(request, base, counts, "Sources")
    known = {each.source: each for each in held}
    settings = services.settings.knowledge[base.name]
    configured = settings.by_source
    always = ("uploads", "pushed")
    names = [*configured, *always, *sorted(known.keys() - configured.keys() - set(always))]
    cards = tuple(card(head, name, settings, known, problems_of(runs)) for name in names)
    page = SourcesPage(title=f"Sources of {base.name}", head=head, sources=cards)
    return render(request, SOURCES, page)


def card(
    head: KnowledgeHead,
    name: str,
    settings: KnowledgeSettings,
    known: Mapping[str, SourceHeld],
    problems: Mapping[str, tuple[str, str]],
) -> SourceCard:
    """`problems` are reason and run by source."""
    own = settings.by_source.get(name)
    schedule = Schedule(own.schedule, own.timezone) if own is not None and own.schedule else None
    reason, run_id = problems.get(name, ("", ""))
    return SourceCard(
        name=name,
        kind=KINDS.get(name.partition(".")[0], "Source"),
        place=place_of(own) if own is not None else "",
        configured=own is not None or name in ("uploads", "pushed"),
        held=known.get(name),
        href=f"{head.address}?source={quote(name)}",
        schedule=f"{own.schedule} ({own.timezone})" if own is not None and schedule else "",
        due_us=schedule.after(SYSTEM_CLOCK.now_us()) if schedule else None,
        watched=name == "folder" and settings.watch,
        max_delete=None if own is None else own.max_delete,
        readers=() if own is None else own.readers,
        metadata=() if own is None else tuple(f"{key} = {value}" for key, value in own.metadata.items()),
        problem=reason,
        run_href=f"{head.address}/runs/{run_id}" if run_id else "",
    )


def place_of(settings: SourceSettings) -> str:
    """Where a source is, as its configuration says; never a password."""
    match settings:
        case KnowledgeSettings():
            return ", ".join(settings.sources)
        case WebSettings():
            return ", ".join((*settings.urls, *settings.sitemaps))
        case S3Settings():
            return f"{settings.bucket}/{settings.prefix}"
        case GitSettings():
            place = settings.url or settings.path or ""
            return f"{place} ({settings.branch})" if settings.branch else place
        case SqlSettings():
            return " ".join(settings.query.split())
    return ""


def problems_of(runs: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """What the newest run that looked at all sources could not do, by source, with the run's id.

    A run that failed says nothing of single sources; one that takes in uploads looks at these alone.
    """
    for run in runs:
        if run.report is not None and run.trigger not in ("upload", "push"):
            return {problem.source: (problem.reason, run.id) for problem in run.report.sources}
    return {}


def routes() -> list[BaseRoute]:
    return [page_route("/knowledge/{name}/sources", show, role="admin")]
