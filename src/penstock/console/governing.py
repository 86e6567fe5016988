"""What the pages about keys, projects, audit records and whatever else is changed share."""

from __future__ import annotations

from starlette.requests import Request

from penstock.access.principal import owns_server
from penstock.access.routes import principal_of
from penstock.access.store import Access
from penstock.audit.record import Actor, Event
from penstock.console.choices import Option
from penstock.console.signin import address_of
from penstock.errors import Unavailable
from penstock.gateway.services import Services


def access_of(request: Request) -> Access:
    """Where keys are, also before the first. Raises `Unavailable` for a server that keeps none."""
    services: Services = request.app.state.services
    if services.access is None:
        raise Unavailable("This server keeps no keys.", hint="Serve an app with `penstock up`.")
    return services.access


def actor_of(request: Request) -> Actor:
    return Actor(principal_of(request), address_of(request))


def tabs(request: Request, shown: str) -> tuple[Option, ...]:
    """The pages that belong together. Projects are the server owner's."""
    pages = {"Keys": "/keys", "Audit records": "/audit"}
    if owns_server(principal_of(request)):
        pages = {"Keys": "/keys", "Projects": "/projects", "Audit records": "/audit"}
    return tuple(Option(label, href, label == shown) for label, href in pages.items())


async def record(request: Request, event: Event) -> None:
    """Call it before acting: it returns when the record is on disk, and raises where it cannot be kept."""
    services: Services = request.app.state.services
    if services.access is not None:
        await services.access.audit.record(event, actor_of(request))
