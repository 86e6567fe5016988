"""/api/v1/projects: the tenants of the server; and /api/v1/whoami."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.projects import ProjectChange
from penstock.access.values import Project, Source
from penstock.exchange import Role
from penstock.gateway.services import Services
from penstock.http import examples
from penstock.http.acting import access_of, actor_of
from penstock.http.api.keys import LimitTables, limits_wire, read_limits
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, reply

Title = Annotated[str, Meta(max_length=200)]


class ProjectBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project to make. `id` is what keys, limits and records name it by."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    title: Title = ""
    limits: LimitTables = ()


class ProjectPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different. A project that is `archived` keeps its records, and its keys do not work."""

    title: Title | UnsetType = UNSET
    limits: LimitTables | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class ProjectWire(Struct, frozen=True, kw_only=True):
    id: str
    title: str
    limits: tuple[dict[str, Any], ...]
    created_by: str
    created_us: int
    archived_us: int | None
    source: Source
    object: Literal["project"] = "project"


class ProjectList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[ProjectWire, ...]


class WhoAmI(Struct, frozen=True, kw_only=True):
    """Who asks which app's server.

    `mode` is "local" while no key was ever made; then everybody on the machine is its owner.
    """

    app: str
    mode: Literal["local", "keyed"]
    name: str
    project_id: str
    key_id: str
    role: Role
    models: tuple[str, ...]
    routes: tuple[str, ...]
    groups: tuple[str, ...]
    limits: tuple[dict[str, Any], ...]
    expires_us: int | None


def project_wire(project: Project) -> ProjectWire:
    values = msgspec.structs.asdict(project)
    values["limits"] = limits_wire(project.limits)
    return ProjectWire(**values)


async def create_project(request: Request) -> Response:
    body = await read_json(request, ProjectBody)
    projects = access_of(request).projects
    made = await projects.create(actor_of(request), body.id, body.title, read_limits(body.limits))
    return reply(project_wire(made), 201)


async def list_projects(request: Request) -> Response:
    found = access_of(request).projects.list(principal_of(request))
    return reply(ProjectList(data=tuple(project_wire(project) for project in found)))


async def get_project(request: Request) -> Response:
    projects = access_of(request).projects
    return reply(project_wire(projects.get(principal_of(request), request.path_params["project_id"])))


async def change_project(request: Request) -> Response:
    body = await read_json(request, ProjectPatch)
    wanted = ProjectChange(
        title=body.title,
        limits=UNSET if body.limits is UNSET else read_limits(body.limits),
        archived=body.archived,
    )
    projects = access_of(request).projects
    changed = await projects.change(actor_of(request), request.path_params["project_id"], wanted)
    return reply(project_wire(changed))


async def whoami(request: Request) -> Response:
    services: Services = request.app.state.services
    principal, access = principal_of(request), services.access
    key = access.keys.find(principal.key_id) if access else None
    return reply(
        WhoAmI(
            app=services.app_name,
            mode="keyed" if access and access.keys.required else "local",
            name=principal.name,
            project_id=principal.project_id,
            key_id=principal.key_id,
            role=principal.role,
            models=principal.models,
            routes=principal.routes,
            groups=principal.groups,
            limits=limits_wire(key.limits) if key else (),
            expires_us=key.expires_us if key else None,
        )
    )


ALL, ONE = "/api/v1/projects", "/api/v1/projects/{project_id}"
ROUTES = [
    ApiRoute(
        "POST",
        ALL,
        create_project,
        Description(
            role="owner",
            summary="Makes a project.",
            status=201,
            body=ProjectBody,
            example=examples.PROJECT,
            answer=ProjectWire,
        ),
    ),
    ApiRoute(
        "GET",
        ALL,
        list_projects,
        Description(role="viewer", summary="Lists the projects that the key sees.", answer=ProjectList),
    ),
    ApiRoute("GET", ONE, get_project, Description(role="viewer", summary="One project.", answer=ProjectWire)),
    ApiRoute(
        "PATCH",
        ONE,
        change_project,
        Description(role="owner", summary="Changes or closes a project.", body=ProjectPatch, answer=ProjectWire),
    ),
    ApiRoute(
        "GET", "/api/v1/whoami", whoami, Description(role="viewer", summary="Whose key this is.", answer=WhoAmI)
    ),
]
