"""The whole HTTP server as one ASGI application."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from penstock.access.routes import GuardedRoute
from penstock.batches.service import Batches
from penstock.gateway.services import Services
from penstock.http import (
    anthropic,
    batches,
    files,
    health,
    metrics,
    openai,
    openapi,
    operations,
    responses,
    vector_stores,
)
from penstock.http.answering import Running
from penstock.http.api import (
    audit,
    cache,
    calibrate,
    config,
    costs,
    feedback,
    gaps,
    ingestion,
    keys,
    knowledge,
    limits,
    models,
    overview,
    projects,
    search,
    traces,
    verifying,
    why,
)
from penstock.http.bodies import BodyLimit, BodyLimits
from penstock.http.errors import HANDLERS
from penstock.http.front import Front
from penstock.http.gate import Gate
from penstock.http.routes import ApiRoute

API: list[ApiRoute] = [
    *traces.ROUTES,
    *why.ROUTES,
    *feedback.ROUTES,
    *cache.ROUTES,
    *config.ROUTES,
    *knowledge.ROUTES,
    *ingestion.ROUTES,
    *verifying.ROUTES,
    *search.ROUTES,
    *calibrate.ROUTES,
    *gaps.ROUTES,
    *models.ROUTES,
    *keys.ROUTES,
    *projects.ROUTES,
    *audit.ROUTES,
    *limits.ROUTES,
    *costs.ROUTES,
    *overview.ROUTES,
]
"""Penstock's own API, one list per module of `http/api`."""


def described_routes(running: Running) -> list[ApiRoute]:
    """The routes of the OpenAPI file, but for the one that serves it."""
    return [
        *openai.routes(running),
        *anthropic.routes(running),
        *responses.routes(running),
        *operations.routes(running),
        *files.ROUTES,
        *vector_stores.ROUTES,
        *batches.ROUTES,
        *API,
        *health.routes(running),
    ]


def build(services: Services, extra_routes: Sequence[BaseRoute] = (), batching: Batches | None = None) -> Starlette:
    """The application: the OpenAI dialect, Penstock's API, health, metrics, and `extra_routes` (the console).

    Handlers find `Services` at `request.app.state.services`. `app.state.running` are the answers on their way.
    Without `batching` there are no files and no batches.
    """
    running = Running()
    bodies = body_limits(services)
    described = described_routes(running)
    described += [route for route in extra_routes if isinstance(route, ApiRoute)]
    uploads = [route for route in described if route.description.upload]
    routes: list[BaseRoute] = [
        *described,
        openapi.route(described),
        *metrics.routes(),
        *(route for route in extra_routes if not isinstance(route, ApiRoute)),
    ]
    refuse_unguarded(routes)
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Gate, services.access, routes),
            Middleware(BodyLimit, bodies, uploads),
        ],
        exception_handlers=HANDLERS,
    )
    app.state.services = services
    app.state.batches = batching
    app.state.running = running
    app.state.bodies = bodies
    endpoints = {route.path: route.endpoint for route in described if isinstance(route.endpoint, openai.Endpoint)}
    gate = Gate(app, services.access, routes)
    app.state.front = Front(app, endpoints, gate.check_route, bodies)
    return app


def use(app: Starlette, services: Services) -> None:
    """Another configuration for the requests that begin from now on; those in flight end as they began."""
    limits = body_limits(services)
    bodies: BodyLimits = app.state.bodies
    bodies.bytes, bodies.upload_bytes = limits.bytes, limits.upload_bytes
    bodies.file_bytes = limits.file_bytes
    app.state.services = services


def refuse_unguarded(routes: Sequence[BaseRoute]) -> None:
    """A route that does not say who may use it is a mistake in this program, found before it is served."""
    for route in routes:
        if not isinstance(route, GuardedRoute):
            raise TypeError(f"{route!r} does not say which role may use it: make it a GuardedRoute")


def body_limits(services: Services) -> BodyLimits:
    body = services.settings.server.max_body_mb
    file = max((each.max_file_mb for each in services.settings.knowledge.values()), default=body)
    most = services.settings.batches.max_file_mb
    return BodyLimits(
        bytes=int(body * (1 << 20)), upload_bytes=int(file * (1 << 20)), file_bytes=int(most * (1 << 20))
    )
