"""`penstock projects`: makes and lists the tenants of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import say, say_json

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.http.api.projects import ProjectWire

app = typer.Typer(no_args_is_help=True, help="Make, list, close and open projects: tenants with keys of their own.")

Id = Annotated[str, typer.Option("--id", metavar="ID", help="What keys, limits and records name it by.")]


@app.command("create", epilog=examples("penstock projects create my-docs/ --id team-a --title 'Team A'"))
def create(
    path: AppPath = HERE,
    project_id: Id = "",
    title: Annotated[str, typer.Option(metavar="TITLE", help="What pages and lists call it.")] = "",
) -> None:
    """Make a project. Its keys see only its own traces, costs and records."""
    from penstock.config import load

    made = _make(load(path), project_id, title)
    say(("made  ", "green"), made.id)


@app.command("list", epilog=examples("penstock projects list my-docs/"))
def list_(path: AppPath = HERE, as_json: AsJson = False) -> None:
    """List the projects."""
    from penstock.cli.governing import moment, table
    from penstock.config import load

    projects = _list(load(path))
    if as_json:
        say_json(projects)
        return
    rows = [
        (each.id, each.title, "closed " + moment(each.archived_us) if each.archived_us else "open", each.created_by)
        for each in projects
    ]
    table(("Id", "Title", "State", "Made by"), rows)


@app.command("close", epilog=examples("penstock projects close my-docs/ --id team-a"))
def close(path: AppPath = HERE, project_id: Id = "") -> None:
    """Close a project: its keys stop working, its records stay."""
    from penstock.config import load

    _close(load(path), project_id, True)
    say(("closed  ", "green"), project_id)


@app.command("open", epilog=examples("penstock projects open my-docs/ --id team-a"))
def open_(path: AppPath = HERE, project_id: Id = "") -> None:
    """Open a closed project again."""
    from penstock.config import load

    _close(load(path), project_id, False)
    say(("opened  ", "green"), project_id)


def _list(folder: AppFolder) -> tuple[ProjectWire, ...]:
    import msgspec

    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.projects import ProjectList, project_wire

    if server := running_server(folder):
        return msgspec.convert(Server.of(server).get("/api/v1/projects"), ProjectList).data

    async def read(access: Any) -> tuple[ProjectWire, ...]:
        return tuple(project_wire(each) for each in access.projects.list(COMMAND_LINE.principal))

    return with_access(folder, read)


def _make(folder: AppFolder, project_id: str, title: str) -> ProjectWire:
    import msgspec

    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.projects import ProjectWire, project_wire

    if server := running_server(folder):
        made = Server.of(server).post("/api/v1/projects", {"id": project_id, "title": title})
        return msgspec.convert(made, ProjectWire)
    return project_wire(with_access(folder, lambda access: access.projects.create(COMMAND_LINE, project_id, title)))


def _close(folder: AppFolder, project_id: str, closed: bool) -> None:
    from urllib.parse import quote

    from penstock.access.projects import ProjectChange
    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server

    if server := running_server(folder):
        Server.of(server).post(f"/api/v1/projects/{quote(project_id, safe='')}", {"archived": closed}, "PATCH")
        return
    change = ProjectChange(archived=closed)
    with_access(folder, lambda access: access.projects.change(COMMAND_LINE, project_id, change))
