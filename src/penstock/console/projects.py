"""The projects: tenants, made, closed and opened again by the owner of the server."""

from __future__ import annotations

from collections.abc import Awaitable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.principal import owns_server
from penstock.access.projects import ProjectChange, require_owner
from penstock.access.routes import principal_of
from penstock.access.values import Project
from penstock.clock import SYSTEM_CLOCK
from penstock.console.choices import Option
from penstock.console.forms import read_form
from penstock.console.governing import access_of, actor_of, tabs
from penstock.console.keys import state_of
from penstock.console.rendering import PageRoute, View, page_route, render
from penstock.errors import PenstockError
from penstock.exchange import LOCAL_PROJECT

PROJECTS = View("projects.html", "Keys")


class ProjectForm(Struct, frozen=True, kw_only=True):
    id: str = ""
    title: str = ""


class ProjectLine(Struct, frozen=True, kw_only=True):
    """A project with the number of its keys that work. `fixed` ones cannot be closed here."""

    project: Project
    keys: int
    fixed: bool


class ProjectsPage(Struct, frozen=True, kw_only=True):
    title: str
    tabs: tuple[Option, ...]
    form: ProjectForm
    problem: str
    hint: str
    projects: tuple[ProjectLine, ...]


async def show(request: Request) -> Response:
    require_owner(principal_of(request), "Seeing the projects")
    return projects_page(request, ProjectForm())


async def create(request: Request) -> Response:
    form = await read_form(request, ProjectForm)
    return await changed(request, form, access_of(request).projects.create(actor_of(request), form.id, form.title))


async def close(request: Request) -> Response:
    return await set_archived(request, archived=True)


async def reopen(request: Request) -> Response:
    return await set_archived(request, archived=False)


async def set_archived(request: Request, *, archived: bool) -> Response:
    project_id = request.path_params["project_id"]
    wanted = ProjectChange(archived=archived)
    work = access_of(request).projects.change(actor_of(request), project_id, wanted)
    return await changed(request, ProjectForm(), work)


async def changed(request: Request, form: ProjectForm, work: Awaitable[Project]) -> Response:
    """The list anew, or the form again with what was wrong."""
    try:
        await work
    except PenstockError as error:
        if not owns_server(principal_of(request)):
            raise
        answer = projects_page(request, form, problem=error)
        answer.status_code = error.status
        return answer
    return RedirectResponse("/projects", 303)


def projects_page(request: Request, form: ProjectForm, *, problem: PenstockError | None = None) -> Response:
    access, principal = access_of(request), principal_of(request)
    now = SYSTEM_CLOCK.now_us()
    working = [key.project_id for key in access.keys.list(principal) if not state_of(key, now)]
    page = ProjectsPage(
        title="Projects",
        tabs=tabs(request, "Projects"),
        form=form,
        problem=problem.message if problem else "",
        hint=problem.hint if problem else "",
        projects=tuple(
            ProjectLine(
                project=project,
                keys=0 if project.archived_us else working.count(project.id),
                fixed=project.source == "config" or project.id == LOCAL_PROJECT,
            )
            for project in access.projects.list(principal)
        ),
    )
    return render(request, PROJECTS, page)


def routes() -> list[BaseRoute]:
    one = "/projects/{project_id}"
    return [
        page_route("/projects", show, role="owner"),
        PageRoute("/projects", create, role="owner", methods=("POST",)),
        PageRoute(f"{one}/close", close, role="owner", methods=("POST",)),
        PageRoute(f"{one}/open", reopen, role="owner", methods=("POST",)),
    ]
