"""The audit records: who did what to which thing, newest first."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.principal import owns_server
from penstock.access.routes import principal_of
from penstock.audit.record import AuditFilter, AuditRecord
from penstock.console.choices import Option, ProjectChoice, address, project_choice
from penstock.console.governing import access_of, tabs
from penstock.console.query import read_query
from penstock.console.rendering import View, page_route, render

AUDIT = View("audit.html", "Keys")
PAGE_SIZE = 50


class AuditQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address: whose records, of which action, from before which number."""

    project: str = ""
    action: str = ""
    before: int = 0


class AuditLine(Struct, frozen=True, kw_only=True):
    """One record; `details` is what changed, as indented JSON."""

    record: AuditRecord
    details: str


class AuditPage(Struct, frozen=True, kw_only=True):
    """`older` and `newest` are addresses, `None` where there is none. `all_projects` shows whose each is."""

    title: str
    tabs: tuple[Option, ...]
    projects: ProjectChoice
    action: str
    records: tuple[AuditLine, ...]
    all_projects: bool
    older: str | None
    newest: str | None


async def show(request: Request) -> Response:
    query = read_query(request, AuditQuery)
    projects = project_choice(request, query.project)
    wanted = AuditFilter(
        project_id=projects.seen,
        action=query.action or None,
        before=query.before or None,
        limit=PAGE_SIZE + 1,
    )
    found = await access_of(request).audit.list(wanted)
    shown = found[:PAGE_SIZE]
    page = AuditPage(
        title="Audit records",
        tabs=tabs(request, "Audit records"),
        projects=projects,
        action=query.action,
        records=tuple(AuditLine(record=record, details=details(record)) for record in shown),
        all_projects=projects.seen is None and owns_server(principal_of(request)),
        older=audit_address(query, shown[-1].number) if len(found) > PAGE_SIZE else None,
        newest=audit_address(query, 0) if query.before else None,
    )
    return render(request, AUDIT, page)


def audit_address(query: AuditQuery, before: int) -> str:
    return address("/audit", project=query.project, action=query.action, before=before or None)


def details(record: AuditRecord) -> str:
    """What was and what is, where either is known."""
    said = {"before": msgspec.json.decode(record.before), "after": msgspec.json.decode(record.after)}
    known = {name: value for name, value in said.items() if value}
    return msgspec.json.format(msgspec.json.encode(known), indent=2).decode() if known else ""


def routes() -> list[BaseRoute]:
    return [page_route("/audit", show, role="admin")]
