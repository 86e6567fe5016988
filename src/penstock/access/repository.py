"""The SQL of access. Functions of a connection; the caller decides the transaction and the thread.

Every change takes the next number of `access_state.version` first and writes it into the rows that it changes, so
that other processes read only what is new to them. The update of that one row is also the lock that lets two
processes change things one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update

from penstock.access.tables import KEY, PROJECT, SESSION, STATE
from penstock.access.values import Changes, Key, Project, Session, StoredKey
from penstock.config.limits import LimitSettings
from penstock.errors import Conflict, NotFound
from penstock.exchange import Principal

T = TypeVar("T")
Change = Callable[[Connection, int], T]
"""Changes rows, under the number that it must write into each."""


def recorded(connection: Connection, work: Change[T], record: Callable[[T], object]) -> T:
    """Runs a change under the next version, and records what it did in the same transaction."""
    result = work(connection, next_version(connection))
    record(result)
    return result


def next_version(connection: Connection) -> int:
    """Call it before reading anything: until it returns, another process may be changing things."""
    connection.execute(update(STATE).values(version=STATE.c.version + 1))
    return version(connection)


def version(connection: Connection) -> int:
    number: int = connection.execute(select(STATE.c.version)).scalar_one()
    return number


def pepper_check(connection: Connection) -> str | None:
    check: str | None = connection.execute(select(STATE.c.pepper_check)).scalar_one()
    return check


def set_pepper_check(connection: Connection, check: str) -> str:
    """Notes the check of a new database; returns the one that is there then."""
    connection.execute(update(STATE).where(STATE.c.pepper_check.is_(None)).values(pepper_check=check))
    return pepper_check(connection) or ""


def changes(connection: Connection, after: int) -> Changes:
    """What changed after a version; 0 is everything."""
    return Changes(
        version(connection),
        tuple(project(row) for row in connection.execute(select(PROJECT).where(PROJECT.c.version > after))),
        tuple(stored_key(row) for row in connection.execute(select(KEY).where(KEY.c.version > after))),
        tuple(session(row) for row in connection.execute(select(SESSION).where(SESSION.c.version > after))),
    )


def any_key(connection: Connection) -> bool:
    """Whether a key was ever made."""
    return connection.execute(select(exists().select_from(KEY))).scalar_one()


def add_project(connection: Connection, number: int, made: Project) -> Project:
    """Raises `Conflict` where the id is taken."""
    if get_project(connection, made.id) is not None:
        raise Conflict(f"There is a project {made.id!r} already.", hint="Choose another id.", param="id")
    connection.execute(
        insert(PROJECT).values(
            id=made.id,
            title=made.title,
            limits=limits_text(made.limits),
            created_by=made.created_by,
            created_us=made.created_us,
            version=number,
        )
    )
    return made


def change_project(connection: Connection, number: int, changed: Project) -> Project:
    """Writes what can be changed of a project; returns it as it was before. Raises `NotFound`."""
    before = get_project(connection, changed.id)
    if before is None:
        raise NotFound(f"There is no project {changed.id!r}.")
    connection.execute(
        update(PROJECT)
        .where(PROJECT.c.id == changed.id)
        .values(
            title=changed.title,
            limits=limits_text(changed.limits),
            archived_us=changed.archived_us,
            version=number,
        )
    )
    return before


def get_project(connection: Connection, project_id: str) -> Project | None:
    row = connection.execute(select(PROJECT).where(PROJECT.c.id == project_id)).first()
    return None if row is None else project(row)


def add_key(connection: Connection, number: int, made: StoredKey) -> Key:
    """Raises `Conflict` where the key's parent has ended or its project was closed a moment ago."""
    key = made.key
    parent = get_key(connection, key.parent_id) if key.parent_id else None
    if parent and (parent.revoked_us or (parent.expires_us or key.created_us + 1) <= key.created_us):
        raise Conflict("The key that this one would be made with has ended.")
    within = get_project(connection, key.project_id)
    if within and within.archived_us:
        raise Conflict(f"The project {key.project_id!r} is closed.", hint="Open it again first.")
    connection.execute(
        insert(KEY).values(
            id=key.id,
            digest=made.digest.hex(),
            hash_scheme=made.scheme,
            prefix=key.prefix,
            name=key.name,
            project_id=key.project_id,
            role=key.role,
            models=texts(key.models),
            routes=texts(key.routes),
            groups=texts(key.groups),
            limits=limits_text(key.limits),
            parent_id=key.parent_id,
            created_by=key.created_by,
            created_us=key.created_us,
            expires_us=key.expires_us,
            revoked_us=key.revoked_us,
            version=number,
        )
    )
    return key


def get_key(connection: Connection, key_id: str) -> Key | None:
    row = connection.execute(select(KEY).where(KEY.c.id == key_id)).first()
    return None if row is None else stored_key(row).key


def children(connection: Connection, key_id: str) -> list[Key]:
    """All keys that were made with a key, and with those, and so on; the nearest first."""
    found: dict[str, Key] = {}
    parents = [key_id]
    while parents:
        rows = connection.execute(select(KEY).where(KEY.c.parent_id.in_(parents)))
        new = {row.id: stored_key(row).key for row in rows if row.id not in found}
        found |= new
        parents = list(new)
    return list(found.values())


def revoke(connection: Connection, number: int, key: Key, *, children_too: bool, now_us: int) -> list[Key]:
    """Ends a key now, and all that were made with it; returns those that were not revoked before."""
    ended = [each for each in [key, *(children(connection, key.id) if children_too else ())] if not each.revoked_us]
    connection.execute(
        update(KEY)
        .where(KEY.c.id.in_([each.id for each in ended]), KEY.c.revoked_us.is_(None))
        .values(revoked_us=now_us, version=number)
    )
    return ended


def replace_key(connection: Connection, number: int, successor: StoredKey, old_id: str, ends_us: int) -> Key:
    """Adds a successor, and lets the old key end at a time, or when it would have ended before that."""
    old = get_key(connection, old_id)
    if old is None or old.revoked_us:
        raise Conflict("The key was revoked a moment ago.")
    add_key(connection, number, successor)
    connection.execute(
        update(KEY)
        .where(KEY.c.id == old_id, or_(KEY.c.expires_us.is_(None), KEY.c.expires_us > ends_us))
        .values(expires_us=ends_us, version=number)
    )
    return successor.key


def upgrade(connection: Connection, digests: dict[str, bytes]) -> None:
    """Replaces the plain SHA-256 of keys by their digest under the pepper."""
    number = next_version(connection)
    for key_id, digest in digests.items():
        connection.execute(
            update(KEY)
            .where(KEY.c.id == key_id, KEY.c.hash_scheme == "sha256")
            .values(digest=digest.hex(), hash_scheme="hmac-sha256", version=number)
        )


def note_use(connection: Connection, used: dict[str, int]) -> None:
    """Writes when keys were last used; nobody needs to read them again for that, so their version stays."""
    for key_id, at_us in used.items():
        earlier = or_(KEY.c.last_used_us.is_(None), KEY.c.last_used_us < at_us)
        connection.execute(update(KEY).where(KEY.c.id == key_id, earlier).values(last_used_us=at_us))


def add_session(connection: Connection, number: int, made: Session) -> Session:
    """Adds one, and deletes those that ended by themselves long ago."""
    connection.execute(delete(SESSION).where(SESSION.c.expires_us < made.created_us))
    connection.execute(
        insert(SESSION).values(
            digest=made.digest.hex(),
            key_id=made.key_id,
            created_us=made.created_us,
            expires_us=made.expires_us,
            person=None if made.person is None else msgspec.json.encode(made.person).decode(),
            version=number,
        )
    )
    return made


def end_session(connection: Connection, number: int, digest: bytes, now_us: int) -> None:
    connection.execute(
        update(SESSION)
        .where(SESSION.c.digest == digest.hex(), SESSION.c.ended_us.is_(None))
        .values(ended_us=now_us, version=number)
    )


def project(row: Row[Any]) -> Project:
    return Project(
        id=row.id,
        title=row.title,
        limits=limits_of(row.limits),
        created_by=row.created_by,
        created_us=row.created_us,
        archived_us=row.archived_us,
    )


def stored_key(row: Row[Any]) -> StoredKey:
    key = Key(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        project_id=row.project_id,
        role=row.role,
        models=tuple(msgspec.json.decode(row.models)),
        routes=tuple(msgspec.json.decode(row.routes)),
        groups=tuple(msgspec.json.decode(row.groups)),
        limits=limits_of(row.limits),
        parent_id=row.parent_id,
        created_by=row.created_by,
        created_us=row.created_us,
        expires_us=row.expires_us,
        revoked_us=row.revoked_us,
        last_used_us=row.last_used_us,
    )
    return StoredKey(key, bytes.fromhex(row.digest), row.hash_scheme)


def session(row: Row[Any]) -> Session:
    return Session(
        digest=bytes.fromhex(row.digest),
        key_id=row.key_id,
        created_us=row.created_us,
        expires_us=row.expires_us,
        ended_us=row.ended_us,
        person=None if row.person is None else msgspec.json.decode(row.person, type=Principal),
    )


def texts(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode()


def limits_text(limits: tuple[LimitSettings, ...]) -> str:
    return msgspec.json.encode([each.model_dump(mode="json", exclude_unset=True) for each in limits]).decode()


def limits_of(text: str) -> tuple[LimitSettings, ...]:
    return tuple(LimitSettings.model_validate(each) for each in msgspec.json.decode(text))
