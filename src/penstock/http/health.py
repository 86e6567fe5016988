"""/health/live says that the process answers; /health/ready that its models do."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.gateway.services import Services
from penstock.http.answering import Running
from penstock.http.routes import ApiRoute, Description, Handler, reply


class NotReady(Struct, frozen=True):
    """A part that cannot answer yet, or any more, and why."""

    name: str
    state: str
    detail: str


class Readiness(Struct, frozen=True):
    """`not_ready` is empty for who shows no key: what the parts are called is not everybody's."""

    status: Literal["ready", "not_ready", "stopping"]
    not_ready: list[NotReady]


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
        if waiting and request.scope["principal"] is None:
            return reply(Readiness("not_ready", []), 503)
        return reply(Readiness("not_ready", waiting), 503) if waiting else reply(Readiness("ready", []))

    return health


def routes(running: Running) -> list[ApiRoute]:
    return [
        ApiRoute("GET", "/health/live", live, Description(role=None, summary="Whether the process answers.")),
        ApiRoute(
            "GET",
            "/health/ready",
            ready(running),
            Description(role=None, summary="Whether its models do; 503 where not.", answer=Readiness),
        ),
    ]
