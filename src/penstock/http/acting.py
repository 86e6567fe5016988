"""Who acts in a request, and the record of what they did."""

from __future__ import annotations

from starlette.requests import Request

from penstock.access.store import Access
from penstock.audit.record import Actor, Event
from penstock.errors import Unavailable
from penstock.gateway.services import Services
from penstock.http.routes import principal_of


def access_of(request: Request) -> Access:
    """Raises `Unavailable` for a server that keeps no keys."""
    services: Services = request.app.state.services
    if services.access is None:
        raise Unavailable("This server keeps no keys.", hint="Serve an app with `penstock up`.")
    return services.access


def actor_of(request: Request) -> Actor:
    return Actor(principal_of(request), request.client.host if request.client else "")


async def record(request: Request, event: Event) -> None:
    """Call it before acting: it returns when the record is on disk, and raises where it cannot be kept."""
    services: Services = request.app.state.services
    if services.access is not None:
        await services.access.audit.record(event, actor_of(request))
