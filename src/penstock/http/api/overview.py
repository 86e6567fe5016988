"""GET /api/v1/overview: how the traffic goes, over time and by model."""

from __future__ import annotations

import time

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.overview.reading import read_overview
from penstock.access.overview.values import Overview, Range
from penstock.access.principal import seen_project
from penstock.http.api.costs import ledger_of
from penstock.http.api.traces import Words
from penstock.http.routes import ApiRoute, Description, principal_of, read_query, reply


class OverviewQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last 60 minutes, 24 hours, 7 days or 30 days. `project` is for the owner of the server, who sees all
    projects without it; others see their own."""

    range: Range = "hour"
    project: Words | None = None


async def get_overview(request: Request) -> Response:
    query = read_query(request, OverviewQuery)
    project_id = seen_project(principal_of(request), query.project)
    now_us = time.time_ns() // 1000
    return reply(await read_overview(ledger_of(request), query.range, project_id, now_us))


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/overview",
        get_overview,
        Description(
            summary="Calls, tokens, money and latency of a range, over time and by model.",
            role="viewer",
            query=OverviewQuery,
            answer=Overview,
        ),
    )
]
