"""Projects: made by the owner of the server, closed and opened again, seen by their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.access.projects import ProjectChange
from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE, Actor
from penstock.config.limits import LimitSettings
from penstock.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthenticated
from penstock.exchange import Role


@pytest_asyncio.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    access = Access.open(tmp_path, tmp_path)
    yield access
    await access.close()


async def key(access: Access, role: Role, project: str) -> tuple[bytes, Actor]:
    made = await access.keys.create(
        COMMAND_LINE, NewKey(name=f"{role} of {project}", role=role, project_id=project)
    )
    secret = made.secret.reveal().encode()
    return secret, Actor(access.keys.authenticate(secret))


async def test_local_is_always_there_and_stays_open(access: Access) -> None:
    assert [project.id for project in access.projects.list(COMMAND_LINE.principal)] == ["local"]
    with pytest.raises(Conflict, match="cannot be closed"):
        await access.projects.change(COMMAND_LINE, "local", ProjectChange(archived=True))
    with pytest.raises(Conflict, match="already"):
        await access.projects.create(COMMAND_LINE, "local")


async def test_a_closed_project_s_keys_do_not_work_until_it_is_opened(access: Access) -> None:
    await access.projects.create(COMMAND_LINE, "team-a", "Team A")
    secret, _ = await key(access, "developer", "team-a")
    await access.projects.change(COMMAND_LINE, "team-a", ProjectChange(archived=True))
    with pytest.raises(Unauthenticated, match="project that was closed"):
        access.keys.authenticate(secret)
    with pytest.raises(Conflict, match="'team-a' is closed"):
        await access.keys.create(COMMAND_LINE, NewKey(name="x", project_id="team-a"))
    await access.projects.change(COMMAND_LINE, "team-a", ProjectChange(archived=False))
    assert access.keys.authenticate(secret).project_id == "team-a"


async def test_only_the_server_s_owner_makes_and_changes_projects(access: Access) -> None:
    await access.projects.create(COMMAND_LINE, "team-a")
    for role, project in (("owner", "team-a"), ("admin", "local")):
        _, actor = await key(access, role, project)
        with pytest.raises(Forbidden, match="needs an owner of this server"):
            await access.projects.create(actor, "team-b")
        with pytest.raises(Forbidden, match="needs an owner of this server"):
            await access.projects.change(actor, project, ProjectChange(title="Mine"))
    _, owner = await key(access, "owner", "local")
    await access.projects.create(owner, "team-b")
    _, of_a = await key(access, "owner", "team-a")
    assert [project.id for project in access.projects.list(owner.principal)] == ["local", "team-a", "team-b"]
    assert [project.id for project in access.projects.list(of_a.principal)] == ["team-a"]
    with pytest.raises(NotFound):
        access.projects.get(of_a.principal, "team-b")


async def test_limits_and_titles_are_kept(access: Access, tmp_path: Path) -> None:
    limits = (LimitSettings(usd=5.5, window="month"),)
    await access.projects.create(COMMAND_LINE, "team-a", "Team A", limits)
    await access.projects.change(COMMAND_LINE, "team-a", ProjectChange(title="The A team"))
    await access.projects.change(COMMAND_LINE, "local", ProjectChange(limits=limits))
    other = Access.open(tmp_path, tmp_path)
    assert other.projects.get(COMMAND_LINE.principal, "team-a").title == "The A team"
    assert other.projects.limits_of("team-a") == other.projects.limits_of("local") == limits
    await other.close()


@pytest.mark.parametrize("project_id", ["", "a b", "../x", "-x", "x" * 65, "ä"])
async def test_what_cannot_be_an_id(access: Access, project_id: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be the id of a project"):
        await access.projects.create(COMMAND_LINE, project_id)
