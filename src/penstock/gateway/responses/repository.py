"""What is read from and written to `responses.db`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, Row, delete, insert, literal, select, tuple_

from penstock.gateway.responses.tables import RESPONSE

R = RESPONSE.c


class StoredResponse(Struct, frozen=True, kw_only=True):
    """A response as it was given. `input` are the items of its request, a JSON array; `body` is the response.

    `provider` is who else knows it by this id, "" for nobody: then its id is Penstock's own.
    """

    project_id: str
    id: str
    previous_id: str | None
    provider: str
    created_us: int
    input: bytes
    body: bytes


def put(connection: Connection, response: StoredResponse) -> None:
    """Stores a response, in place of one with its id."""
    remove(connection, response.project_id, response.id)
    values = {name: getattr(response, name) for name in response.__struct_fields__}
    connection.execute(insert(RESPONSE).values(values))


def get(connection: Connection, project_id: str, id: str) -> StoredResponse | None:
    row = connection.execute(select(RESPONSE).where(R.project_id == project_id, R.id == id)).one_or_none()
    return stored(row) if row is not None else None


def remove(connection: Connection, project_id: str, id: str) -> bool:
    """Whether there was one."""
    return bool(connection.execute(delete(RESPONSE).where(R.project_id == project_id, R.id == id)).rowcount)


def chain(connection: Connection, project_id: str, id: str, limit: int) -> Sequence[StoredResponse]:
    """A response and those before it, the oldest first, `limit` at most. Stops where one is missing."""
    mine = select(R.id, R.previous_id, literal(1).label("depth")).where(R.project_id == project_id)
    found = mine.where(R.id == id).cte("found", recursive=True)
    before = select(R.id, R.previous_id, (found.c.depth + 1).label("depth")).where(
        R.project_id == project_id, R.id == found.c.previous_id, found.c.depth < limit
    )
    found = found.union_all(before)
    wanted = (
        select(RESPONSE)
        .join(found, (R.id == found.c.id) & (R.project_id == project_id))
        .order_by(found.c.depth.desc())
    )
    return [stored(row) for row in connection.execute(wanted)]


def prune(connection: Connection, before_us: int, limit: int) -> int:
    """Deletes up to `limit` responses that are older; returns how many."""
    old = select(R.project_id, R.id).where(R.created_us < before_us).limit(limit)
    return connection.execute(delete(RESPONSE).where(tuple_(R.project_id, R.id).in_(old))).rowcount


def stored(row: Row[tuple[object, ...]]) -> StoredResponse:
    return StoredResponse(**row._mapping)
