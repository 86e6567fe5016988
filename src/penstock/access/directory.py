"""All projects, keys and sessions in memory, found by the digest of what was shown: what every request asks."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

import msgspec

from penstock.access.hashing import Pepper
from penstock.access.values import Changes, Key, Project, Session, StoredKey
from penstock.clock import Clock
from penstock.errors import PenstockError, Unauthenticated
from penstock.exchange import LOCAL_PROJECT, Principal

NEVER = 1 << 62
"""Microseconds since 1970 of what does not end."""


class UnknownKey(Unauthenticated):
    """No key of this process's memory; another process may have made it a moment ago."""


class Entry:
    """One key as requests find it. `problem` says why it does not work any more, `used_us` when it last did."""

    __slots__ = ("digest", "ends_us", "principal", "problem", "used_us", "written_us")

    def __init__(self, digest: bytes, principal: Principal, ends_us: int, problem: str) -> None:
        self.digest = digest
        self.principal = principal
        self.ends_us = ends_us
        self.problem = problem
        self.used_us = 0
        self.written_us = 0


class Directory:
    """Lives on the event loop. `version` is that of the database which it reflects.

    `required` says whether a key was ever made or declared: then every request needs one, also when the last was
    revoked. It never becomes false again while the process runs.
    """

    def __init__(self, pepper: Pepper, clock: Clock) -> None:
        self._digest = pepper.digest
        self._clock = clock
        self._entries: dict[bytes, Entry] = {}
        self._plain: dict[bytes, Entry] = {}
        self._upgraded: dict[str, bytes] = {}
        self._entry_of: dict[str, Entry] = {}
        self.projects: dict[str, Project] = {LOCAL_PROJECT: Project(id=LOCAL_PROJECT, title="This server")}
        self.keys: dict[str, Key] = {}
        self.sessions: dict[bytes, Session] = {}
        self.required = False
        self.version = 0

    def authenticate(self, secret: bytes) -> Principal:
        """Who shows this key. Raises `Unauthenticated`, `UnknownKey` where it is not among those in memory."""
        digest = self._digest(secret)
        entry = self._entries.get(digest)
        if entry is None and self._plain:
            entry = self._upgrade(secret, digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            raise unknown_key()
        return self._admit(entry)

    def _upgrade(self, secret: bytes, digest: bytes) -> Entry | None:
        """Finds a key of which another gateway left the SHA-256, and from now on by its digest under the pepper."""
        plain = hashlib.sha256(secret).digest()
        entry = self._plain.get(plain)
        if entry is None or not hmac.compare_digest(entry.digest, plain):
            return None
        del self._plain[plain]
        entry.digest = digest
        self._entries[digest] = entry
        self._upgraded[entry.principal.key_id] = digest
        return entry

    def take_upgraded(self) -> dict[str, bytes]:
        """The digests under the pepper of keys that were first used since the last call, by their id."""
        taken, self._upgraded = self._upgraded, {}
        return taken

    def resume(self, cookie: bytes) -> Principal:
        """Who signed in under this cookie. Raises `Unauthenticated`, `UnknownKey` for one not in memory."""
        digest = self._digest(cookie)
        session = self.sessions.get(digest)
        if session is None or not hmac.compare_digest(session.digest, digest):
            raise unknown_key()
        over = session.ended_us is not None or self._clock.now_us() >= session.expires_us
        if session.person is not None and not over:
            return self._welcome(session.person)
        entry = self._entry_of.get(session.key_id)
        if entry is None or over:
            raise Unauthenticated("You are not signed in any more.", hint="Sign in again.")
        return self._admit(entry)

    def _welcome(self, person: Principal) -> Principal:
        """Who signed in with an account, while their project is open."""
        project = self.projects.get(person.project_id)
        if project is None or project.archived_us is not None:
            raise Unauthenticated("Your project was closed.", hint="Ask who runs this server.")
        return person

    def _admit(self, entry: Entry) -> Principal:
        now = self._clock.now_us()
        if entry.problem or now >= entry.ends_us:
            raise ended_key(entry.problem or "has expired")
        entry.used_us = now
        return entry.principal

    def admit(self, secret: bytes, principal: Principal) -> None:
        """Lets a secret of this process stand for a principal; it is no key, so others are not asked for one."""
        digest = self._digest(secret)
        self._entries[digest] = Entry(digest, principal, NEVER, "")

    def declare(self, projects: Iterable[Project], keys: Iterable[StoredKey]) -> None:
        """Takes in what penstock.toml declares, in place of what it declared before."""
        for key in [key for key in self.keys.values() if key.source == "config"]:
            del self.keys[key.id]
            self._entries.pop(self._entry_of.pop(key.id).digest, None)
        for project in [project for project in self.projects.values() if project.source == "config"]:
            del self.projects[project.id]
        self.projects |= {project.id: project for project in projects}
        for stored in keys:
            self._put(stored)

    def apply(self, changes: Changes) -> None:
        """Takes in what changed in the database."""
        for project in changes.projects:
            self.projects[project.id] = project
        for stored in changes.keys:
            self._put(stored)
        for project in changes.projects:
            self._refresh(project)
        now = self._clock.now_us()
        for session in changes.sessions:
            self.sessions[session.digest] = session
        if changes.sessions:
            self.sessions = {
                digest: each
                for digest, each in self.sessions.items()
                if each.expires_us > now and each.ended_us is None
            }
        self.version = max(self.version, changes.version)

    def _put(self, stored: StoredKey) -> None:
        key = stored.key
        principal = Principal(
            project_id=key.project_id,
            key_id=key.id,
            name=key.name,
            role=key.role,
            models=key.models,
            routes=key.routes,
            groups=key.groups,
        )
        entry = Entry(stored.digest, principal, key.expires_us or NEVER, self._problem(key))
        known = self._entry_of.get(key.id)
        if known is not None:
            entry.used_us, entry.written_us = known.used_us, known.written_us
            self._entries.pop(known.digest, None)
            self._plain.pop(known.digest, None)
        self.keys[key.id] = key
        self._entry_of[key.id] = entry
        (self._entries if stored.scheme == "hmac-sha256" else self._plain)[stored.digest] = entry
        self.required = True

    def _problem(self, key: Key) -> str:
        if key.revoked_us is not None:
            return "has been revoked"
        project = self.projects.get(key.project_id)
        return "belongs to a project that was closed" if project is None or project.archived_us else ""

    def _refresh(self, project: Project) -> None:
        """A project that was closed closes its keys, and one that was opened again opens them."""
        for key in self.keys.values():
            if key.project_id == project.id:
                self._entry_of[key.id].problem = self._problem(key)

    def key(self, key_id: str) -> Key | None:
        """A key with the time of its last use as this process knows it."""
        key = self.keys.get(key_id)
        if key is None:
            return None
        used = max(key.last_used_us or 0, self._entry_of[key_id].used_us)
        return msgspec.structs.replace(key, last_used_us=used or None)

    def take_used(self) -> dict[str, int]:
        """When the keys were last used that were used since the last call; those of the database only."""
        used = {}
        for key_id, entry in self._entry_of.items():
            if entry.used_us > entry.written_us:
                entry.written_us = entry.used_us
                if self.keys[key_id].source == "made":
                    used[key_id] = entry.used_us
        return used


def unknown_key() -> PenstockError:
    return UnknownKey(
        "The key is not valid.", hint="Check that it was copied whole, and that it is a key of this server."
    )


def ended_key(problem: str) -> PenstockError:
    return Unauthenticated(f"The key {problem}.", hint="Ask the administrator of your project for a new one.")
