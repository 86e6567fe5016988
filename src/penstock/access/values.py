"""The frozen values of access: projects, keys, and what is asked for when one is made."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from penstock.config.limits import LimitSettings
from penstock.config.secret import Secret
from penstock.exchange import LOCAL_PROJECT, Principal, Role

HashScheme = Literal["hmac-sha256", "sha256"]
"""How the digest of a key was made: under the pepper, or, of a key that another gateway made, without one until it
is first used."""

Source = Literal["made", "config"]
"""Made with a command or the API, or declared in penstock.toml and then read-only."""


class Project(Struct, frozen=True, kw_only=True):
    """A tenant. `limits` hold for all its keys. An archived one keeps its records, but its keys do not work."""

    id: str
    title: str = ""
    limits: tuple[LimitSettings, ...] = ()
    created_by: str = ""
    created_us: int = 0
    archived_us: int | None = None
    source: Source = "made"


class Key(Struct, frozen=True, kw_only=True):
    """All that is known of a key; the key itself is kept nowhere.

    `prefix` are its first characters, to recognise it by. `models` and `routes` are patterns of the names and the
    paths that it may ask; empty means everything. `groups` open the documents that are only for them. `parent_id`
    is the key that it was made with.
    """

    id: str
    name: str
    prefix: str
    project_id: str = LOCAL_PROJECT
    role: Role = "developer"
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    limits: tuple[LimitSettings, ...] = ()
    parent_id: str | None = None
    created_by: str = ""
    created_us: int = 0
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None
    source: Source = "made"


class StoredKey(Struct, frozen=True):
    """A key as the database has it: with the digest that it is found by."""

    key: Key
    digest: bytes
    scheme: HashScheme


class NewKey(Struct, frozen=True, kw_only=True):
    """What a key shall be. `project_id` `None` is that of whoever makes it."""

    name: str
    project_id: str | None = None
    role: Role = "developer"
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    limits: tuple[LimitSettings, ...] = ()
    expires_us: int | None = None


class MadeKey(Struct, frozen=True):
    """A key that was just made. `secret` is shown once, to whoever made it."""

    key: Key
    secret: Secret


class Session(Struct, frozen=True, kw_only=True):
    """Somebody signed in to the console with a key; it ends with the key, too. `digest` is that of its cookie.

    `person` is who signed in with an account of the issuer instead; what they may do stays until the session ends.
    """

    digest: bytes
    key_id: str
    created_us: int
    expires_us: int
    ended_us: int | None = None
    person: Principal | None = None


class Changes(Struct, frozen=True):
    """All that changed in the database after some version, up to `version`."""

    version: int
    projects: tuple[Project, ...]
    keys: tuple[StoredKey, ...]
    sessions: tuple[Session, ...]
