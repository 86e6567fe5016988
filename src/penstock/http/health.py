"""/health/live says that the process answers; /health/ready that its models do, and what it does without."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.services import Degraded, Services
from penstock.http.answering import Running
from penstock.http.routes import ApiRoute, Description, Handler, reply


class NotReady(Struct, frozen=True):
    """A part that cannot answer yet, or any more, and why."""

    name: str
    state: str
    detail: str


class Readiness(Struct, frozen=True, omit_defaults=True):
    """`not_ready` is empty for who shows no key: what the parts are called is not everybody's. What is `degraded`
    is no reason to send requests elsewhere; it is there for keys of the server's own project, if there is any."""

    status: Literal["ready", "not_ready", "stopping"]
    not_ready: list[NotReady]
    degraded: tuple[Degraded, ...] = ()


async def live(request: Request) -> Response:
    return reply({"status": "live"})


def ready(running: Running) -> Handler:
    async def health(request: Request) -> Response:
        services: Services = request.app.state.services
        if running.stopping:
            return reply(Readiness("stopping", []), 503)
        waiting = [
            NotReady(name, health.state, health.detail)
            for name, health in ((name, check()) for name, check in services.health.items())
            if health.state != "ready"
        ]
        principal = request.scope["principal"]
        own = principal is not None and principal.project_id == LOCAL_PROJECT
        degraded = services.degraded() if own else ()
        if not waiting:
            return reply(Readiness("ready", [], degraded))
        return reply(Readiness("not_ready", [] if principal is None else waiting, degraded), 503)

    return health


def routes(running: Running) -> list[ApiRoute]:
    return [
        ApiRoute("GET", "/health/live", live, Description(role=None, summary="Whether the process answers.")),
        ApiRoute(
            "GET",
            "/health/ready",
            ready(running),
            Description(
                role=None, summary="Whether its models do, 503 where not; and what is degraded.", answer=Readiness
            ),
        ),
    ]
