"""The SQL of audit records. Functions of a connection; the caller decides the transaction and the thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from penstock.audit.record import Actor, AuditFilter, AuditRecord, Event, Verdict, digest_of
from penstock.audit.tables import AUDIT, AUDIT_HEAD

FIELDS = tuple(name for name in AuditRecord.__struct_fields__ if name != "digest")


def append(connection: Connection, actor: Actor, event: Event, now_us: int) -> AuditRecord:
    """Adds a record at the end of the chain, in the caller's transaction: both stand, or neither."""
    # The update comes first: it takes the row's lock, so that two processes cannot read the same head.
    connection.execute(update(AUDIT_HEAD).values(number=AUDIT_HEAD.c.number + 1))
    head = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.digest)).one()
    values = {
        "number": head.number,
        "time_us": now_us,
        "actor": actor.principal.name,
        "key_id": actor.principal.key_id,
        "action": event.action,
        "target": event.target,
        "project_id": event.project_id,
        "address": actor.address,
        "before": msgspec.json.encode(event.before).decode(),
        "after": msgspec.json.encode(event.after).decode(),
        "previous": head.digest,
    }
    values["digest"] = digest_of(tuple(values[name] for name in FIELDS))
    connection.execute(insert(AUDIT).values(values))
    connection.execute(update(AUDIT_HEAD).values(digest=values["digest"]))
    return record(values)


def page(connection: Connection, wanted: AuditFilter) -> list[AuditRecord]:
    """Records newest first."""
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(wanted.limit)
    if wanted.project_id is not None:
        query = query.where(AUDIT.c.project_id == wanted.project_id)
    if wanted.action is not None:
        query = query.where(AUDIT.c.action == wanted.action)
    if wanted.before is not None:
        query = query.where(AUDIT.c.number < wanted.before)
    return [record(row._asdict()) for row in connection.execute(query)]


def verify(connection: Connection, known: str | None = None) -> Verdict:
    """Reads the whole chain. `known` is a digest noted earlier, which must still be in it."""
    number, previous, seen = 0, "", known is None
    for row in rows(connection):
        number += 1
        fields = row._asdict()
        wrong = (
            f"record {number} is missing"
            if row.number != number
            else f"record {number} does not follow record {number - 1}"
            if row.previous != previous
            else f"record {number} was changed"
            if digest_of(tuple(fields[name] for name in FIELDS)) != row.digest
            else ""
        )
        if wrong:
            return Verdict(records=number - 1, head=previous, broken_at=number, problem=wrong)
        previous = row.digest
        seen = seen or row.digest == known
    head = connection.execute(select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.digest)).one()
    if (head.number, head.digest) != (number, previous):
        problem = f"the newest records are missing: {head.number} were written, {number} are there"
        return Verdict(records=number, head=previous, broken_at=number + 1, problem=problem)
    if not seen:
        problem = f"no record has the digest {known}: records after it were taken out, or all written anew"
        return Verdict(records=number, head=previous, broken_at=number + 1, problem=problem)
    return Verdict(records=number, head=previous)


def rows(connection: Connection) -> Iterator[Row[Any]]:
    yield from connection.execute(select(AUDIT).order_by(AUDIT.c.number).execution_options(yield_per=1000))


def record(values: dict[str, Any]) -> AuditRecord:
    before, after = values["before"].encode(), values["after"].encode()
    return AuditRecord(**values | {"before": msgspec.Raw(before), "after": msgspec.Raw(after)})
