"""The projects: tenants, made and changed by the owner of the server."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from penstock.access import repository
from penstock.access.principal import owns_server, sees
from penstock.access.shared import SharedState
from penstock.access.values import Project
from penstock.audit.record import Actor, Event
from penstock.clock import Clock
from penstock.config.limits import LimitSettings
from penstock.errors import Conflict, Forbidden, InvalidRequest, NotFound
from penstock.exchange import LOCAL_PROJECT, Principal

PROJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LONGEST_TITLE = 200


class ProjectChange(Struct, frozen=True, kw_only=True):
    """What shall be different about a project; what is left out stays."""

    title: str | UnsetType = UNSET
    limits: tuple[LimitSettings, ...] | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class Projects:
    """All methods that change something return when it is on disk and holds in this process."""

    def __init__(self, shared: SharedState, clock: Clock) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._clock = clock

    def limits_of(self, project_id: str) -> tuple[LimitSettings, ...]:
        """The limits of a project as a whole; none for one that is not known."""
        project = self._directory.projects.get(project_id)
        return () if project is None else project.limits

    def list(self, principal: Principal) -> tuple[Project, ...]:
        """The principal's project; every one for the server's owner. In the order of their ids, `local` first."""
        found = [project for project in self._directory.projects.values() if sees(principal, project.id)]
        return tuple(sorted(found, key=lambda project: (project.id != LOCAL_PROJECT, project.id)))

    def get(self, principal: Principal, project_id: str) -> Project:
        """Raises `NotFound` also for a project that the principal does not see."""
        project = self._directory.projects.get(project_id)
        if project is None or not sees(principal, project_id):
            raise NotFound(
                f"There is no project {project_id[:80]!r}.",
                hint="`penstock projects list` shows which there are.",
                param="project_id",
            )
        return project

    async def create(
        self, actor: Actor, project_id: str, title: str = "", limits: tuple[LimitSettings, ...] = ()
    ) -> Project:
        """Raises `Forbidden`, `InvalidRequest` for the id, `Conflict` where it is taken."""
        require_owner(actor.principal, "Making a project")
        if not PROJECT_ID.fullmatch(project_id):
            raise InvalidRequest(
                f"{project_id[:80]!r} cannot be the id of a project.",
                hint="Use at most 64 letters, digits, dashes and underscores.",
                param="id",
            )
        if project_id in self._directory.projects:
            raise Conflict(f"There is a project {project_id!r} already.", hint="Choose another id.", param="id")
        check_title(title)
        made = Project(
            id=project_id,
            title=title,
            limits=limits,
            created_by=actor.principal.name,
            created_us=self._clock.now_us(),
        )
        event = Event(action="project.created", target=project_id, project_id=project_id, after=shown(made))
        return await self._shared.change(
            actor, lambda connection, number: repository.add_project(connection, number, made), lambda _: event
        )

    async def change(self, actor: Actor, project_id: str, wanted: ProjectChange) -> Project:
        """Changes a project; closing it (`archived`) ends the use of its keys, opening it again gives it back."""
        project = self.get(actor.principal, project_id)
        require_owner(actor.principal, "Changing a project")
        if project.source == "config":
            raise Conflict(
                f"The project {project_id!r} is declared in penstock.toml.", hint="Change it there.", param="id"
            )
        if wanted.archived is True and project_id == LOCAL_PROJECT:
            raise Conflict("The project 'local' is this server's own and cannot be closed.", param="archived")
        changed = self._changed(project, wanted)
        check_title(changed.title)

        def event_of(before: Project) -> Event:
            action = "project.changed"
            return Event(
                action=action, target=project_id, project_id=project_id, before=shown(before), after=shown(changed)
            )

        await self._shared.change(
            actor, lambda connection, number: repository.change_project(connection, number, changed), event_of
        )
        return changed

    def _changed(self, project: Project, wanted: ProjectChange) -> Project:
        if wanted.title is not UNSET:
            project = msgspec.structs.replace(project, title=wanted.title)
        if wanted.limits is not UNSET:
            project = msgspec.structs.replace(project, limits=wanted.limits)
        if wanted.archived is not UNSET and wanted.archived != bool(project.archived_us):
            project = msgspec.structs.replace(
                project, archived_us=self._clock.now_us() if wanted.archived else None
            )
        return project


def require_owner(principal: Principal, what: str) -> None:
    """Raises `Forbidden` for who does not own the server."""
    if not owns_server(principal):
        raise Forbidden(
            f"{what} needs an owner of this server, and {principal.name!r} is {principal.role} of "
            f"{principal.project_id!r}.",
            hint="That is a key of project 'local' with the role owner, or a command on the server's machine.",
        )


def check_title(title: str) -> None:
    if len(title) > LONGEST_TITLE or not (title == "" or title.isprintable()):
        raise InvalidRequest(
            f"A title has at most {LONGEST_TITLE} printable characters.", hint="Shorten it.", param="title"
        )


def shown(project: Project) -> dict[str, Any]:
    """A project for an audit record."""
    return {
        "title": project.title,
        "limits": [each.model_dump(mode="json", exclude_unset=True) for each in project.limits],
        "archived": project.archived_us is not None,
    }
