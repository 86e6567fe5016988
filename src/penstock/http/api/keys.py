"""/api/v1/keys: the keys of a project, made, ended and replaced."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.values import Key, MadeKey, NewKey, Source
from penstock.config.limits import Limits, LimitSettings
from penstock.errors import InvalidRequest
from penstock.exchange import Role
from penstock.http import examples
from penstock.http.acting import access_of, actor_of
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, read_query, reply

Moment = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone: `2026-01-31T09:00:00Z`.")]
Pattern = Annotated[str, Meta(min_length=1, max_length=200)]
Patterns = Annotated[tuple[Pattern, ...], Meta(max_length=100)]
LimitTables = Annotated[tuple[dict[str, Any], ...], Meta(max_length=50, description="Tables as of `[[limits]]`.")]
LIMITS: TypeAdapter[tuple[LimitSettings, ...]] = TypeAdapter(Limits)


class KeyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make. What is left out is what the key that makes it has; `project_id` is that key's project.

    It is in no groups but those named; they open the documents that are only for them.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    project_id: str | None = None
    role: Role = "developer"
    models: Patterns = ()
    routes: Patterns = ()
    groups: Patterns = ()
    limits: LimitTables = ()
    expires_at: Moment | None = None


class RotateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old key goes on, and when the new one ends; by default when the old one would have."""

    overlap_seconds: Annotated[float, Meta(ge=0, le=90 * 86_400)] = 86_400.0
    expires_at: Moment | None = None


class RevokeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the keys that were made with it end as well."""

    children: bool = True


class KeyQuery(Struct, frozen=True, kw_only=True):
    """Which keys to list. `project_id` is for the owner of the server; others see their own project's."""

    project_id: str | None = None


class KeyWire(Struct, frozen=True, kw_only=True):
    """A key as the API shows it. Times are microseconds since 1970, UTC; `prefix` are its first characters."""

    id: str
    name: str
    prefix: str
    project_id: str
    role: Role
    models: tuple[str, ...]
    routes: tuple[str, ...]
    groups: tuple[str, ...]
    limits: tuple[dict[str, Any], ...]
    parent_id: str | None
    created_by: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None
    last_used_us: int | None
    source: Source
    object: Literal["key"] = "key"


class KeyList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[KeyWire, ...]


class MadeKeyWire(Struct, frozen=True, kw_only=True):
    """A key that was just made. `secret` is shown this once and cannot be read again."""

    secret: str
    key: KeyWire


def key_wire(key: Key) -> KeyWire:
    values = msgspec.structs.asdict(key)
    values["limits"] = limits_wire(key.limits)
    return KeyWire(**values)


def made_wire(made: MadeKey) -> MadeKeyWire:
    return MadeKeyWire(secret=made.secret.reveal(), key=key_wire(made.key))


def limits_wire(limits: tuple[LimitSettings, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(each.model_dump(mode="json", exclude_unset=True) for each in limits)


def new_key(body: KeyBody) -> NewKey:
    """What a key shall be, checked. Raises `InvalidRequest` for its limits."""
    return NewKey(
        name=body.name,
        project_id=body.project_id,
        role=body.role,
        models=body.models,
        routes=body.routes,
        groups=body.groups,
        limits=read_limits(body.limits),
        expires_us=microseconds(body.expires_at),
    )


def read_limits(tables: tuple[dict[str, Any], ...]) -> tuple[LimitSettings, ...]:
    """Raises `InvalidRequest` that names the place of what is wrong."""
    try:
        return LIMITS.validate_python(tables)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(
            f"limits{place}: {message}.", hint="They are written as under [[limits]].", param=f"limits{place}"
        ) from None


def microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1e6)


async def create_key(request: Request) -> Response:
    wanted = new_key(await read_json(request, KeyBody))
    return reply(made_wire(await access_of(request).keys.create(actor_of(request), wanted)), 201)


async def list_keys(request: Request) -> Response:
    query = read_query(request, KeyQuery)
    found = access_of(request).keys.list(principal_of(request), query.project_id)
    return reply(KeyList(data=tuple(key_wire(key) for key in found)))


async def get_key(request: Request) -> Response:
    return reply(key_wire(access_of(request).keys.get(principal_of(request), request.path_params["key_id"])))


async def revoke_key(request: Request) -> Response:
    body = await read_json(request, RevokeBody) if await request.body() else RevokeBody()
    keys = access_of(request).keys
    ended = await keys.revoke(actor_of(request), request.path_params["key_id"], children_too=body.children)
    return reply(KeyList(data=tuple(key_wire(key) for key in ended)))


async def rotate_key(request: Request) -> Response:
    body = await read_json(request, RotateBody) if await request.body() else RotateBody()
    made = await access_of(request).keys.rotate(
        actor_of(request), request.path_params["key_id"], body.overlap_seconds, microseconds(body.expires_at)
    )
    return reply(made_wire(made), 201)


ONE = "/api/v1/keys/{key_id}"
ROUTES = [
    ApiRoute(
        "POST",
        "/api/v1/keys",
        create_key,
        Description(
            role="admin",
            summary="Makes a key; it is shown once.",
            status=201,
            body=KeyBody,
            example=examples.KEY,
            answer=MadeKeyWire,
        ),
    ),
    ApiRoute(
        "GET",
        "/api/v1/keys",
        list_keys,
        Description(role="admin", summary="Lists keys, newest first.", query=KeyQuery, answer=KeyList),
    ),
    ApiRoute("GET", ONE, get_key, Description(role="admin", summary="One key.", answer=KeyWire)),
    ApiRoute(
        "POST",
        ONE + "/revoke",
        revoke_key,
        Description(
            role="admin",
            summary="Ends a key, and those made with it; answers with all that ended.",
            body=RevokeBody,
            answer=KeyList,
        ),
    ),
    ApiRoute(
        "POST",
        ONE + "/rotate",
        rotate_key,
        Description(
            role="admin",
            summary="Makes a successor; the old key goes on for a while.",
            status=201,
            body=RotateBody,
            answer=MadeKeyWire,
        ),
    ),
]
