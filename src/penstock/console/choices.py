"""What the selects and tabs above a page offer."""

from __future__ import annotations

from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request

from penstock.access.principal import owns_server, seen_project
from penstock.access.routes import principal_of
from penstock.gateway.services import Services


class Option(Struct, frozen=True):
    """One choice: where it leads, and whether it is the one that is shown."""

    label: str
    href: str
    chosen: bool


class ProjectChoice(Struct, frozen=True):
    """Whose figures are shown: `seen` is one project, `None` all. The server's owner has `ids` to choose from."""

    seen: str | None
    ids: tuple[str, ...]


def project_choice(request: Request, asked: str) -> ProjectChoice:
    """Raises `Forbidden` for a project of somebody else."""
    services: Services = request.app.state.services
    principal = principal_of(request)
    seen = seen_project(principal, asked or None)
    if services.access is None or not owns_server(principal):
        return ProjectChoice(seen, ())
    ids = tuple(project.id for project in services.access.projects.list(principal))
    return ProjectChoice(seen, ids if len(ids) > 1 else ())


def address(path: str, **said: str | int | None) -> str:
    """A page with what stands in its address, without what says nothing."""
    query = urlencode({name: value for name, value in said.items() if value})
    return f"{path}?{query}" if query else path
