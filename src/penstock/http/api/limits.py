"""GET /api/v1/limits: what is used of every limit, and what is left."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.limits.values import DIMENSIONS, CounterUsage, Dimension
from penstock.access.limits.windows import FOREVER
from penstock.access.principal import owns_server
from penstock.config.limits import Per
from penstock.gateway.services import Services
from penstock.http.routes import ApiRoute, Description, principal_of, read_query, reply


class LimitQuery(Struct, frozen=True, kw_only=True):
    """Which limits to list. `project_id` is for the owner of the server; others see their own project's."""

    project_id: str | None = None


class LimitWire(Struct, frozen=True, kw_only=True):
    """One count of one limit. `limit` is the limit in words, `scope` the project, key, model or user of this count.

    `amount`, `used` and `remaining` are in requests, tokens or, for `usd`, nano-dollars; `used` includes what is
    reserved. `resets_us` is when the running stretch of the window ends, UTC microseconds; `null` where nothing is
    remembered. `warn` is the amount from which there is a warning.
    """

    limit: str
    per: Per
    scope: str
    project_id: str
    dimension: Dimension
    window: str
    amount: int
    used: int
    remaining: int
    warn: int | None
    resets_us: int | None


class LimitList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[LimitWire, ...]


def limit_wire(usage: CounterUsage) -> LimitWire:
    spec = usage.spec
    return LimitWire(
        limit=spec.rule,
        per=spec.per,
        scope=spec.scope,
        project_id=spec.project_id,
        dimension=DIMENSIONS[spec.dimension],
        window=spec.window,
        amount=spec.amount,
        used=usage.used,
        remaining=max(0, spec.amount - usage.used),
        warn=spec.warn or None,
        resets_us=None if usage.ends_us >= FOREVER else usage.ends_us,
    )


async def list_limits(request: Request) -> Response:
    services: Services = request.app.state.services
    principal = principal_of(request)
    wanted = read_query(request, LimitQuery).project_id
    seen = wanted if owns_server(principal) else principal.project_id
    usage = await services.limits.usage(seen) if services.limits is not None else []
    return reply(LimitList(data=tuple(limit_wire(each) for each in usage)))


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/limits",
        list_limits,
        Description(
            summary="Lists what is used of every limit of the project.",
            role="viewer",
            query=LimitQuery,
            answer=LimitList,
        ),
    )
]
