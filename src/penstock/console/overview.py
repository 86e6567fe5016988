"""The overview: how the traffic goes, as figures, over time and by model; it keeps itself up to date."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.overview.reading import read_overview
from penstock.access.overview.values import Figures, ModelFigures, Overview, Point, Range
from penstock.access.routes import principal_of
from penstock.clock import SYSTEM_CLOCK
from penstock.console import formats
from penstock.console.choices import Option, ProjectChoice, address, project_choice
from penstock.console.query import read_query
from penstock.console.rendering import View, page_route, render
from penstock.errors import Unavailable
from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.services import Degraded, Services

OVERVIEW = View("overview.html", "Overview", "live")
RANGES: dict[Range, str] = {
    "hour": "Last hour",
    "day": "Last 24 hours",
    "week": "Last 7 days",
    "month": "Last 30 days",
}
REFRESH_SECONDS: dict[Range, int] = {"hour": 5, "day": 15, "week": 60, "month": 60}
TRACE_PERIODS: dict[Range, str] = {"hour": "hour", "day": "day", "week": "week", "month": ""}
EARLIEST = 0.1
"""The share of a step that must have passed before its pace means something."""


class OverviewQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address. `project` "" is every one that the principal sees."""

    range: Range = "hour"
    project: str = ""


class Tile(Struct, frozen=True, kw_only=True):
    """One figure: `note` is what belongs to it, `help` what it means, `href` where there is more about it."""

    label: str
    value: str
    note: str
    help: str
    bad: bool = False
    href: str = ""


class ModelLine(Struct, frozen=True, kw_only=True):
    """One model of the table."""

    model: str
    figures: Figures
    tokens: int
    error_share: float | None
    cache_share: float | None
    p50_us: int | None
    p95_us: int | None
    bar: float


class OverviewPage(Struct, frozen=True, kw_only=True):
    """`series` is what the charts draw, as JSON. `first_model` and `origin` fill the example of an empty page."""

    title: str
    query: OverviewQuery
    ranges: tuple[Option, ...]
    projects: ProjectChoice
    address: str
    every: int
    since: str
    empty: bool
    sampled: bool
    tiles: tuple[Tile, ...]
    series: str
    models: tuple[ModelLine, ...]
    first_model: str
    origin: str
    degraded: tuple[Degraded, ...]


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    query = read_query(request, OverviewQuery)
    projects = project_choice(request, query.project)
    if services.ledger is None:
        raise Unavailable("This server keeps no ledger, so there is nothing to show.")
    overview = await read_overview(services.ledger, query.range, projects.seen, SYSTEM_CLOCK.now_us())
    principal = principal_of(request)
    open_ = services.registry.open_to(principal)
    able = (each.name for each in open_ if each.is_leaf and "chat" in each.operations)  # an app may only quote
    page = OverviewPage(
        title="Overview",
        query=query,
        ranges=tuple(
            Option(label, address("/overview", range=name, project=query.project), name == query.range)
            for name, label in RANGES.items()
        ),
        projects=projects,
        address=address("/overview", range=query.range, project=query.project),
        every=REFRESH_SECONDS[query.range],
        since=RANGES[query.range].lower(),
        empty=overview.total.calls == 0,
        sampled=overview.sampled,
        tiles=tuple(tiles(overview)),
        series=series(overview),
        models=tuple(model_lines(overview.models)),
        first_model=next(able, "default"),
        origin=f"{request.url.scheme}://{request.url.netloc}",
        degraded=services.degraded() if principal.project_id == LOCAL_PROJECT else (),
    )
    return render(request, OVERVIEW, page)


def tiles(overview: Overview) -> Iterable[Tile]:
    total, latency = overview.total, overview.latency
    yield Tile(
        label="Requests",
        value=formats.compact(total.calls),
        note=f"{formats.rate(total.calls / max(1.0, overview.seconds))} on average",
        help="Calls of models that are over, those of apps and from the cache among them.",
    )
    yield Tile(
        label="Latency, median",
        value=formats.duration(latency.p50_us),
        note=f"p95 {formats.duration(latency.p95_us)} · p99 {formats.duration(latency.p99_us)}",
        help="From the request to the end of the answer, of calls that a provider answered. Half took no longer "
        "than the median, 95% no longer than p95, 99% no longer than p99.",
    )
    yield Tile(
        label="Errors",
        value=formats.share(part(total.errors, total.calls)),
        note=f"{formats.compact(total.errors)} of {formats.compact(total.calls)}",
        help="Calls that ended with an error after all retries and fallbacks, as a share of all calls.",
        bad=100 * total.errors >= total.calls > 0,
        href=address("/traces", status="error", period=TRACE_PERIODS[overview.range]) if total.errors else "",
    )
    read, written = prompt_tokens(total), total.output + total.reasoning
    yield Tile(
        label="Tokens",
        value=formats.compact(read + written),
        note=f"{formats.compact(read)} in · {formats.compact(written)} out",
        help="Tokens read (fresh, from the provider's cache, or written to it) and written (answers, reasoning).",
    )
    yield Tile(
        label="Spent",
        value=spent(total),
        note=f"{formats.compact(total.unpriced)} unpriced" if total.unpriced else "all calls priced",
        help="What calls cost by the prices of their day. Those whose price is not known, unpriced, are not in it.",
        bad=total.unpriced > 0,
        href="/costs",
    )
    yield Tile(
        label="From the cache",
        value=formats.share(part(total.cached, total.calls)),
        note=f"saved {formats.money(total.saved_nanos)}" if total.cached else "nothing yet",
        help="Calls that Penstock's own cache answered, as a share of all, and what they would have cost.",
    )


def spent(figures: Figures) -> str:
    """Money of which a part may not be known, so that what is known is the least."""
    if not figures.unpriced:
        return formats.money(figures.cost_nanos)
    return f"≥ {formats.money(figures.cost_nanos)}" if figures.cost_nanos else formats.UNKNOWN


def part(some: int, all: int) -> float | None:
    return some / all if all else None


def prompt_tokens(figures: Figures) -> int:
    return figures.input + figures.cached_input + figures.cache_write


def model_lines(models: tuple[ModelFigures, ...]) -> Iterable[ModelLine]:
    most = max((each.figures.calls for each in models), default=1) or 1
    for each in models:
        figures = each.figures
        yield ModelLine(
            model=each.model,
            figures=figures,
            tokens=prompt_tokens(figures) + figures.output + figures.reasoning,
            error_share=part(figures.errors, figures.calls),
            cache_share=part(figures.cached, figures.calls),
            p50_us=each.latency.p50_us,
            p95_us=each.latency.p95_us,
            bar=figures.calls / most,
        )


def series(overview: Overview) -> str:
    """Columns by name, each with one number for every step: what uPlot draws."""
    points = overview.points
    step = points[0].seconds
    columns: dict[str, list[Any]] = {
        "time": [point.start_us // 1_000_000 for point in points],
        "requests": [pace(point, point.figures.calls, step) for point in points],
        "p50": [in_seconds(point.latency.p50_us) for point in points],
        "p95": [in_seconds(point.latency.p95_us) for point in points],
        "p99": [in_seconds(point.latency.p99_us) for point in points],
        "input": [pace(point, point.figures.input + point.figures.cache_write, step) for point in points],
        "cached_input": [pace(point, point.figures.cached_input, step) for point in points],
        "output": [pace(point, point.figures.output, step) for point in points],
        "reasoning": [pace(point, point.figures.reasoning, step) for point in points],
        "money": [point.figures.cost_nanos / 1e9 for point in points],
        "errors": [percent(point.figures.errors, point.figures.calls) for point in points],
        "cached": [percent(point.figures.cached, point.figures.calls) for point in points],
    }
    return msgspec.json.encode(columns).decode()


def pace(point: Point, number: int, step_seconds: float) -> float | None:
    """So many a second; `None` at the very beginning of a step."""
    if point.seconds < EARLIEST * step_seconds:
        return None
    return number / point.seconds


def percent(some: int, all: int) -> float | None:
    return 100 * some / all if all else None


def in_seconds(us: int | None) -> float | None:
    return None if us is None else us / 1e6


def routes() -> list[BaseRoute]:
    return [page_route("/overview", show, role="viewer")]
