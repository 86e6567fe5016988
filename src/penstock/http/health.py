"""/health/live says that the process answers; /health/ready that its models do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from penstock.gateway.services import Services
from penstock.http.answering import Running
from penstock.http.routes import reply


class NotReady(Struct, frozen=True):
    """A part that cannot answer yet, or any more, and why."""

    name: str
    state: str
    detail: str


class Readiness(Struct, frozen=True):
    status: Literal["ready", "not_ready", "stopping"]
    not_ready: list[NotReady]


async def live(request: Request) -> Response:
    return reply({"status": "live"})


def ready(running: Running) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        services: Services = request.app.state.services
        if running.stopping:
            return reply(Readiness("stopping", []), 503)
        waiting = [
            NotReady(name, health.state, health.detail)
            for name, health in ((name, check()) for name, check in services.health.items())
            if health.state != "ready"
        ]
        return reply(Readiness("not_ready", waiting), 503) if waiting else reply(Readiness("ready", []))

    return answer


def routes(running: Running) -> list[BaseRoute]:
    return [Route("/health/live", live), Route("/health/ready", ready(running))]
