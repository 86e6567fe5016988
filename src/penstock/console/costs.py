"""The costs: what was spent, day by day and on what, as a page and as CSV; and what of it need not have been."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.advice.advice import Advice, read_advice
from penstock.access.costs.reading import read_costs
from penstock.access.costs.repository import Question
from penstock.access.costs.values import CostFilter, CostReport, Group, Sums
from penstock.access.ledger import Ledger
from penstock.access.ledger.tables import DAY_US
from penstock.access.principal import owns_server
from penstock.access.routes import principal_of
from penstock.clock import SYSTEM_CLOCK
from penstock.console.choices import Option, ProjectChoice, address, project_choice
from penstock.console.query import read_query
from penstock.console.rendering import View, page_route, render
from penstock.errors import Unavailable
from penstock.gateway.evidence import evidence
from penstock.gateway.services import Services

COSTS = View("costs.html", "Costs")
By = Literal["model", "target", "project", "key", "user", "app"]
LABELS: dict[By, str] = {
    "model": "Model",
    "target": "Target",
    "key": "Key",
    "user": "User",
    "project": "Project",
    "app": "App",
}
PERIODS = {7: "7 days", 30: "30 days", 90: "90 days", 365: "A year"}
ADVICE_DAYS = 30
MOST_LINES = 200
CSV_COLUMNS = (
    "calls",
    "errors",
    "cached",
    "unpriced",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
)
NOT_A_NUMBER = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run as a formula."""


class CostsQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address. `key` and `model` narrow it to one; `days` back from today."""

    by: By = "model"
    days: Literal[7, 30, 90, 365] = 30
    project: str = ""
    key: str = ""
    model: str = ""

    def at(self, path: str, **changed: str | int) -> str:
        """An address of the same question, with something changed."""
        said = {"by": self.by, "days": self.days, "project": self.project, "key": self.key, "model": self.model}
        return address(path, **{**said, **changed})


class CostLine(Struct, frozen=True, kw_only=True):
    """One group. `name` is as people call it, `detail` its id where that is another; `share` is of the dearest."""

    name: str
    detail: str
    sums: Sums
    tokens: int
    share: float
    href: str


class CostsPage(Struct, frozen=True, kw_only=True):
    """`series` is what the chart draws, as JSON. `unpriced` names models that have calls without a known price."""

    title: str
    query: CostsQuery
    tabs: tuple[Option, ...]
    periods: tuple[Option, ...]
    projects: ProjectChoice
    kept: dict[str, str | int]
    narrowed: str
    wider: str
    csv: str
    label: str
    total: Sums
    tokens: int
    lines: tuple[CostLine, ...]
    more: int
    series: str
    unpriced: tuple[str, ...]
    advice: tuple[Advice, ...]


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    query = read_query(request, CostsQuery)
    projects = project_choice(request, query.project)
    ledger = ledger_of(request)
    wanted = cost_filter(query, projects.seen)
    grouped = await read_costs(ledger, Question(wanted=wanted, by=(query.by,)))
    daily = await read_costs(ledger, Question(wanted=wanted, step="day"))
    models = grouped if query.by == "model" else await read_costs(ledger, Question(wanted=wanted, by=("model",)))
    lines = tuple(cost_lines(request, query, grouped))
    page = CostsPage(
        title="Costs",
        query=query,
        tabs=tuple(Option(LABELS[by], query.at("/costs", by=by), by == query.by) for by in groups(request)),
        periods=tuple(
            Option(label, query.at("/costs", days=days), days == query.days) for days, label in PERIODS.items()
        ),
        projects=projects,
        kept={"by": query.by, "days": query.days},
        narrowed=narrowed(request, query),
        wider=query.at("/costs", key="", model=""),
        csv=query.at("/costs.csv"),
        label=LABELS[query.by],
        total=grouped.total,
        tokens=tokens_of(grouped.total),
        lines=lines[:MOST_LINES],
        more=max(0, len(lines) - MOST_LINES),
        series=series(daily, wanted),
        unpriced=tuple(row.group["model"] for row in models.rows if row.sums.unpriced),
        advice=await advice_of(services, ledger, projects.seen),
    )
    return render(request, COSTS, page)


async def download(request: Request) -> Response:
    """The table as CSV, each group and day: money in US dollars, empty where it is not known."""
    query = read_query(request, CostsQuery)
    projects = project_choice(request, query.project)
    question = Question(wanted=cost_filter(query, projects.seen), by=("day", query.by))
    report = await read_costs(ledger_of(request), question)
    written = io.StringIO(newline="")
    table = csv.writer(written)
    table.writerow(["day", query.by, *CSV_COLUMNS, "cost_usd", "saved_usd"])
    for row in sorted(report.rows, key=lambda row: (row.group["day"], row.group[query.by])):
        sums = row.sums
        known = sums.cost_nanos or not sums.unpriced
        counts = [getattr(sums, name) for name in CSV_COLUMNS]
        table.writerow(
            [
                row.group["day"],
                plain(row.group[query.by]),
                *counts,
                dollars(sums.cost_nanos) if known else "",
                dollars(sums.saved_nanos),
            ]
        )
    name = f"costs-by-{query.by}-{query.days}-days.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(written.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def cost_filter(query: CostsQuery, project_id: str | None) -> CostFilter:
    now = SYSTEM_CLOCK.now_us()
    equal: list[tuple[Group, str]] = []
    if query.key:
        equal.append(("key", query.key))
    if query.model:
        equal.append(("model", query.model))
    return CostFilter(
        project_id=project_id,
        since_us=(now // DAY_US - query.days + 1) * DAY_US,
        until_us=now,
        equal=tuple(equal),
    )


def groups(request: Request) -> Iterable[By]:
    """Projects are for who sees several."""
    shown: list[By] = ["model", "target", "key", "user", "app"]
    return [*shown, "project"] if owns_server(principal_of(request)) else shown


def cost_lines(request: Request, query: CostsQuery, report: CostReport) -> Iterable[CostLine]:
    dearest = max((row.sums.cost_nanos for row in report.rows), default=0) or 1
    for row in report.rows:
        value = row.group[query.by]
        name = name_of(request, query.by, value)
        yield CostLine(
            name=name,
            detail=value if name != value and value else "",
            sums=row.sums,
            tokens=tokens_of(row.sums),
            share=row.sums.cost_nanos / dearest,
            href=further(query, value),
        )


def name_of(request: Request, by: By, value: str) -> str:
    services: Services = request.app.state.services
    if by == "key" and value and services.access is not None:
        key = services.access.keys.find(value)
        return key.name if key is not None and key.project_id in seen_projects(request, key.project_id) else value
    if value:
        return value
    return {"key": "without a key", "app": "called directly", "user": "no user named", "target": "not reached"}.get(
        by, "unknown"
    )


def seen_projects(request: Request, project_id: str) -> tuple[str, ...]:
    """A key's name is told to who sees its project."""
    principal = principal_of(request)
    return (project_id,) if owns_server(principal) else (principal.project_id,)


def further(query: CostsQuery, value: str) -> str:
    """The same of one group, told apart another way; "" where there is nothing to narrow by."""
    if query.by == "key" and value:
        return query.at("/costs", by="model", key=value)
    if query.by == "model" and value:
        return query.at("/costs", by="key", model=value)
    return query.at("/costs", by="model", project=value) if query.by == "project" else ""


def narrowed(request: Request, query: CostsQuery) -> str:
    said = [f"model {query.model}"] if query.model else []
    if query.key:
        said.append(f"key {name_of(request, 'key', query.key)}")
    return " and ".join(said)


def series(daily: CostReport, wanted: CostFilter) -> str:
    """Every day of the period, those without a call as well."""
    by_day = {row.start_us: row.sums for row in daily.rows}
    days = range(wanted.since_us, wanted.until_us, DAY_US)
    sums = [by_day.get(day, Sums()) for day in days]
    columns = {
        "time": [day // 1_000_000 for day in days],
        "money": [each.cost_nanos / 1e9 for each in sums],
        "calls": [each.calls for each in sums],
    }
    return msgspec.json.encode(columns).decode()


async def advice_of(services: Services, ledger: Ledger, project_id: str | None) -> tuple[Advice, ...]:
    now = SYSTEM_CLOCK.now_us()
    wanted = CostFilter(project_id=project_id, since_us=now - ADVICE_DAYS * DAY_US, until_us=now)
    return await read_advice(ledger, wanted, await evidence(services, project_id, wanted.since_us))


def ledger_of(request: Request) -> Ledger:
    services: Services = request.app.state.services
    if services.ledger is None:
        raise Unavailable("This server keeps no ledger, so there is nothing to show.")
    return services.ledger


def tokens_of(sums: Sums) -> int:
    return sums.input + sums.cached_input + sums.cache_write + sums.output + sums.reasoning


def plain(value: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(NOT_A_NUMBER) else value


def dollars(nanos: int) -> str:
    return f"{nanos / 1e9:.9f}".rstrip("0").rstrip(".")


def routes() -> list[BaseRoute]:
    return [page_route("/costs", show, role="viewer"), page_route("/costs.csv", download, role="viewer")]
