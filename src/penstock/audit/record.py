"""One administrative action: who did what to which thing, from where, and what changed."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from penstock.exchange import LOCAL_PROJECT, Principal


class Actor(Struct, frozen=True):
    """Who acts, and from which address; "" for a command on this machine."""

    principal: Principal
    address: str = ""


COMMAND_LINE = Actor(Principal(name="command line"))
"""A command that holds the data folder's lock: whoever may write the files may do everything."""

SYSTEM = Actor(Principal(name="penstock"))
"""The server itself: a configuration that was read again, a target that was taken out of its route."""


class Event(Struct, frozen=True, kw_only=True):
    """What happened. `action` is `thing.done` ("key.created"), `target` the thing's id, `project_id` whose it is.

    `before` and `after` hold what changed, as JSON values, never a secret.
    """

    action: str
    target: str
    project_id: str = LOCAL_PROJECT
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class AuditRecord(Struct, frozen=True, kw_only=True):
    """An event as it is kept. `number` counts from 1 without a gap.

    `digest` is the SHA-256 of all other fields, `previous` the digest of the record before ("" for the first), so
    that no record can be changed, taken out or slipped in without breaking the chain.
    """

    number: int
    time_us: int
    actor: str
    key_id: str
    action: str
    target: str
    project_id: str
    address: str
    before: msgspec.Raw
    after: msgspec.Raw
    previous: str
    digest: str


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which records to list, newest first, from below the number `before`; `project_id` `None` is every one."""

    project_id: str | None
    action: str | None = None
    before: int | None = None
    limit: int = 50


class Verdict(Struct, frozen=True, kw_only=True):
    """What `verify` found: how many records were read, the newest digest, and the first that is wrong, if any."""

    records: int
    head: str
    broken_at: int | None = None
    problem: str = ""


def digest_of(fields: tuple[object, ...]) -> str:
    """The digest of a record's fields in their order, without the digest itself."""
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
