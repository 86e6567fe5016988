"""/api/v1/config: what is configured, what the file says that is not running yet, and taking it over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.principal import require_local
from penstock.audit.record import Event
from penstock.config.differences import Difference
from penstock.errors import ConfigError, Conflict, Unavailable
from penstock.gateway.services import Configuration, Services
from penstock.http.acting import record
from penstock.http.routes import ApiRoute, Description, principal_of, reply


class ConfigState(Struct, frozen=True, kw_only=True):
    """The running configuration, defaults filled in, secrets by the names of their environment variables.

    `loaded_us` is when it was read, UTC microseconds.
    """

    app: str
    loaded_us: int
    settings: dict[str, Any]


class Changes(Struct, frozen=True, kw_only=True):
    """What differs between the running configuration and the file, by setting."""

    object: Literal["list"] = "list"
    data: tuple[Difference, ...]


def configuration_of(request: Request) -> Configuration:
    require_local(principal_of(request), "Reading the server's configuration")
    services: Services = request.app.state.services
    if services.configuration is None:
        raise Unavailable("This server has no configuration file.", hint="Serve an app with `penstock up`.")
    return services.configuration


async def get_config(request: Request) -> Response:
    configuration = configuration_of(request)
    services: Services = request.app.state.services
    settings = services.settings.model_dump(mode="json")
    return reply(ConfigState(app=services.app_name, loaded_us=configuration.loaded_us, settings=settings))


async def get_changes(request: Request) -> Response:
    with refusals():
        return reply(Changes(data=await configuration_of(request).differences()))


async def reload(request: Request) -> Response:
    services: Services = request.app.state.services

    async def tell(changes: tuple[Difference, ...]) -> None:
        event = Event(
            action="config.reloaded",
            target=services.app_name,
            before={each.key: each.running for each in changes},
            after={each.key: each.file for each in changes},
        )
        await record(request, event)

    with refusals():
        return reply(Changes(data=await configuration_of(request).reload(tell)))


@contextmanager
def refusals() -> Iterator[None]:
    """A file that cannot be taken over is no fault of the server's that runs."""
    try:
        yield
    except ConfigError as error:
        raise Conflict(error.message, hint=error.hint) from None


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/config",
        get_config,
        Description(role="admin", summary="The running configuration, secrets masked.", answer=ConfigState),
    ),
    ApiRoute(
        "GET",
        "/api/v1/config/changes",
        get_changes,
        Description(
            role="admin",
            summary="What the file says that is not running, and what needs a restart.",
            answer=Changes,
        ),
    ),
    ApiRoute(
        "POST",
        "/api/v1/config/reload",
        reload,
        Description(
            role="owner", summary="Takes the file over for new requests; refused as a whole.", answer=Changes
        ),
    ),
]
