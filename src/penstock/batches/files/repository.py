"""What is read from and written to the table of files. Everything a caller asks is by project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, exists, func, insert, select

from penstock.batches.files.tables import FILE
from penstock.batches.files.values import FilePage, StoredFile
from penstock.batches.tables import BATCH
from penstock.batches.values import OVER

F, B = FILE.c, BATCH.c


def add(connection: Connection, file: StoredFile) -> None:
    connection.execute(insert(FILE).values({name: getattr(file, name) for name in file.__struct_fields__}))


def get(connection: Connection, project_id: str, id: str) -> StoredFile | None:
    row = connection.execute(select(FILE).where(F.project_id == project_id, F.id == id)).one_or_none()
    return StoredFile(**row._mapping) if row is not None else None


def page(connection: Connection, wanted: FilePage) -> Sequence[StoredFile]:
    """One more than were asked for, where there are more. Ids are in the order of time."""
    query = select(FILE).where(F.project_id == wanted.project_id)
    if wanted.purpose is not None:
        query = query.where(F.purpose == wanted.purpose)
    descending = wanted.order == "desc"
    if wanted.after is not None:
        query = query.where(F.id < wanted.after if descending else F.id > wanted.after)
    query = query.order_by(F.id.desc() if descending else F.id).limit(wanted.limit + 1)
    return [StoredFile(**row._mapping) for row in connection.execute(query)]


def remove(connection: Connection, ids: Iterable[str]) -> None:
    connection.execute(delete(FILE).where(F.id.in_(list(ids))))


def total_bytes(connection: Connection, project_id: str) -> int:
    """What the files of a project take together."""
    total = select(func.coalesce(func.sum(F.size), 0)).where(F.project_id == project_id)
    return int(connection.execute(total).scalar_one())


def expired(connection: Connection, now_us: int, limit: int) -> Sequence[str]:
    """The files whose time is over, without those that a batch still reads."""
    unused = ~exists().where(B.input_file_id == F.id, B.status.not_in(OVER))
    return connection.execute(select(F.id).where(F.expires_us <= now_us, unused).limit(limit)).scalars().all()


def remove_unread(connection: Connection, id: str) -> bool:
    """Removes a file unless a batch that is not over reads it; whether it did."""
    reads = exists().where(B.input_file_id == id, B.status.not_in(OVER))
    if connection.execute(select(reads)).scalar():
        return False
    remove(connection, [id])
    return True


def known(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that are files."""
    return set(connection.execute(select(F.id).where(F.id.in_(ids))).scalars())
