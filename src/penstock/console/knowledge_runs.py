"""The runs that took documents in: the last ones, one with its report, started and ended from here."""

from __future__ import annotations

import asyncio
from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.audit.record import Event
from penstock.clock import SYSTEM_CLOCK
from penstock.console.forms import read_form
from penstock.console.governing import record
from penstock.console.knowledge_head import KnowledgeHead, head_of, own_base_of
from penstock.console.rendering import PageRoute, View, page_route, render
from penstock.errors import Unavailable
from penstock.gateway.services import Services
from penstock.knowledge.base import FileProblem
from penstock.knowledge.ingestion.records import OVER, Run, RunRules
from penstock.knowledge.readers import reader_of

RUNS = View("knowledge_runs.html", "Knowledge", "live")
RUN = View("knowledge_run.html", "Knowledge", "live")
LISTED = 50
MOST_PROBLEMS = 500
SOON, LATER = 1, 15
"""Seconds until the page looks again: while something is at work, and otherwise."""

TRIGGERS = {
    "cli": "by command",
    "api": "by hand or API",
    "schedule": "on schedule",
    "watch": "files changed",
    "push": "documents pushed",
    "upload": "files dropped in",
}


class RunForm(Struct, frozen=True, kw_only=True):
    """`allow_delete` lets the run delete more of a source than its limit."""

    allow_delete: Literal["", "on"] = ""


class RunLine(Struct, frozen=True, kw_only=True):
    """One run. `took_us` is until now for one at work; `share` is how far it is, 0 to 1, `None` where unknown."""

    run: Run
    href: str
    trigger: str
    over: bool
    took_us: int | None
    share: float | None
    came_to: str


class RunsPage(Struct, frozen=True, kw_only=True):
    title: str
    head: KnowledgeHead
    address: str
    runs: tuple[RunLine, ...]
    may_start: bool
    every: int


class RunPage(Struct, frozen=True, kw_only=True):
    """`problems` are the first of `problems_total`."""

    title: str
    head: KnowledgeHead
    address: str
    line: RunLine
    problems: tuple[FileProblem, ...]
    problems_total: int
    every: int


async def show_all(request: Request) -> Response:
    base = own_base_of(request)
    services: Services = request.app.state.services
    counts = await asyncio.to_thread(base.counts, reader_of(principal_of(request)))
    head = head_of(request, base, counts, "Runs")
    runs = await base.runs.latest(LISTED)
    page = RunsPage(
        title=f"Runs of {base.name}",
        head=head,
        address=f"{head.address}/runs",
        runs=tuple(line_of(head, run) for run in runs),
        may_start=services.ingestions is not None,
        every=SOON if any(run.state not in OVER for run in runs) else LATER,
    )
    return render(request, RUNS, page)


async def show(request: Request) -> Response:
    base = own_base_of(request)
    run = await base.runs.get(request.path_params["run_id"])
    counts = await asyncio.to_thread(base.counts, reader_of(principal_of(request)))
    head = head_of(request, base, counts, "Runs")
    line = line_of(head, run)
    problems = run.report.problems if run.report else ()
    page = RunPage(
        title=f"Run of {base.name}",
        head=head,
        address=line.href,
        line=line,
        problems=problems[:MOST_PROBLEMS],
        problems_total=len(problems),
        every=LATER * 60 if line.over else SOON,
    )
    return render(request, RUN, page)


async def start(request: Request) -> Response:
    base = own_base_of(request)
    services: Services = request.app.state.services
    form = await read_form(request, RunForm)
    if services.ingestions is None:
        raise Unavailable("This server takes no documents in.", hint="Serve an app with `penstock up`.")
    await record(request, Event(action="knowledge.ingested", target=base.name))
    run = await services.ingestions.submit(base.name, "api", RunRules(allow_delete=form.allow_delete == "on"))
    return RedirectResponse(f"{request.url.path}/{run.id}", 303)


async def cancel(request: Request) -> Response:
    base, run_id = own_base_of(request), request.path_params["run_id"]
    await base.runs.get(run_id)
    await record(request, Event(action="knowledge.run_cancelled", target=run_id, after={"knowledge": base.name}))
    await base.runs.cancel(run_id)
    return RedirectResponse(request.url.path.removesuffix("/cancel"), 303)


def line_of(head: KnowledgeHead, run: Run) -> RunLine:
    over = run.state in OVER
    ended = run.ended_at if over else SYSTEM_CLOCK.now_us()
    progress = run.progress
    return RunLine(
        run=run,
        href=f"{head.address}/runs/{run.id}",
        trigger=TRIGGERS[run.trigger],
        over=over,
        took_us=None if run.started_at is None or ended is None else max(0, ended - run.started_at),
        share=progress.done / progress.total if progress and progress.total else None,
        came_to=came_to(run),
    )


def came_to(run: Run) -> str:
    """What changed, in a few words."""
    if run.error is not None:
        return run.error.message
    if run.report is None:
        return ""
    counts = {"added": run.report.added, "changed": run.report.changed, "removed": run.report.removed}
    said = [f"{number:,} {what}" for what, number in counts.items() if number]
    return ", ".join(said) or "nothing new"


def routes() -> list[BaseRoute]:
    every = "/knowledge/{name}/runs"
    one = every + "/{run_id}"
    return [
        page_route(every, show_all, role="admin"),
        PageRoute(every, start, role="admin", methods=("POST",)),
        page_route(one, show, role="admin"),
        PageRoute(one + "/cancel", cancel, role="admin", methods=("POST",)),
    ]
