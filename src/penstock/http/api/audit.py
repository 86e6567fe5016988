"""GET /api/v1/audit: who did what."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.principal import owns_server
from penstock.access.projects import require_owner
from penstock.audit.record import AuditFilter, AuditRecord, Verdict
from penstock.http.acting import access_of
from penstock.http.routes import LARGEST, ApiRoute, Description, principal_of, read_query, reply

MAX_LIMIT = 500


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Which records to list. `project_id` is for the owner of the server; `before` is `next_before` of a page."""

    project_id: str | None = None
    action: Annotated[str, Meta(max_length=64)] | None = None
    before: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50


class AuditList(Struct, frozen=True, kw_only=True):
    """One page, newest first. `next_before` is null on the last."""

    object: Literal["list"] = "list"
    data: tuple[AuditRecord, ...]
    next_before: int | None


class VerifyQuery(Struct, frozen=True, kw_only=True):
    """`known` is the digest of a record, noted earlier, that must still be in the chain."""

    known: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


async def list_audit(request: Request) -> Response:
    query, principal = read_query(request, AuditQuery), principal_of(request)
    project_id = query.project_id if owns_server(principal) else principal.project_id
    if query.project_id not in (None, project_id):
        return reply(AuditList(data=(), next_before=None))
    wanted = AuditFilter(project_id=project_id, action=query.action, before=query.before, limit=query.limit + 1)
    found = await access_of(request).audit.list(wanted)
    shown = found[: query.limit]
    return reply(AuditList(data=shown, next_before=shown[-1].number if len(found) > query.limit else None))


async def verify_audit(request: Request) -> Response:
    require_owner(principal_of(request), "Checking the audit records")
    known = read_query(request, VerifyQuery).known
    return reply(await access_of(request).audit.verify(known))


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/audit",
        list_audit,
        Description(
            role="admin", summary="Lists administrative actions, newest first.", query=AuditQuery, answer=AuditList
        ),
    ),
    ApiRoute(
        "GET",
        "/api/v1/audit/verify",
        verify_audit,
        Description(role="owner", summary="Checks that no record was changed.", query=VerifyQuery, answer=Verdict),
    ),
]
