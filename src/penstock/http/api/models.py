"""/api/v1/models: the targets of every model, how they are, and taking one out of service."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from penstock.access.principal import require_local
from penstock.audit.record import Event
from penstock.errors import NotFound
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.report import RoutesReport, TargetReport, report, routes_of, target_report
from penstock.gateway.routing.route import Route
from penstock.gateway.services import Services
from penstock.http.acting import record
from penstock.http.routes import ApiRoute, Description, principal_of, reply

TARGET = "/api/v1/models/{name:path}/targets/{number}"


async def list_models(request: Request) -> Response:
    require_local(principal_of(request), "Reading the state of the targets")
    services: Services = request.app.state.services
    return reply(report(services.registry))


async def eject(request: Request) -> Response:
    return await change(request, out=True)


async def restore(request: Request) -> Response:
    return await change(request, out=False)


async def change(request: Request, *, out: bool) -> Response:
    """Takes a target out of service, or puts it back; recorded before it is done."""
    require_local(principal_of(request), "Changing the targets of a model")
    services: Services = request.app.state.services
    model, number, target = target_of(services, request.path_params["name"], request.path_params["number"])
    before = target_report(number, target, model.process.now())
    event = Event(
        action="target.ejected" if out else "target.restored",
        target=f"{model.name}/{number}",
        before={"state": before.state},
        after={"name": target.name},
    )
    await record(request, event)
    if out:
        target.health.hold()
    else:
        target.health.restore()
    return reply(target_report(number, target, model.process.now()))


def target_of(services: Services, name: str, number: str) -> tuple[Route, int, Backend]:
    """The target of that number, from 1, of a model by any of its names. Raises `NotFound`."""
    found = services.registry.find(name)
    routes = [route for route in routes_of(services.registry) if route.name == name]
    route = found.provider if found is not None and isinstance(found.provider, Route) else next(iter(routes), None)
    if route is None:
        raise NotFound(f"There is no model {name!r}.", hint="GET /api/v1/models lists them.", param="name")
    numbered = {str(at): (at, backend) for at, backend in enumerate(route.backends, 1)}
    if number not in numbered:
        raise NotFound(
            f"{name!r} has no target {number[:40]}; its targets are 1 to {len(route.backends)}.",
            hint="GET /api/v1/models lists them.",
            param="number",
        )
    return route, *numbered[number]


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/models",
        list_models,
        Description(role="viewer", summary="How the targets of every model are.", answer=RoutesReport),
    ),
    ApiRoute(
        "POST",
        f"{TARGET}/eject",
        eject,
        Description(
            role="admin", summary="Takes a target out of service until it is restored.", answer=TargetReport
        ),
    ),
    ApiRoute(
        "POST",
        f"{TARGET}/restore",
        restore,
        Description(role="admin", summary="Puts a target back that was left out.", answer=TargetReport),
    ),
]
