"""The keys: who shows which, and making, ending and replacing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from penstock.access import repository
from penstock.access.directory import ended_key
from penstock.access.hashing import Pepper, new_secret, shown_prefix
from penstock.access.principal import owns_server, require, sees
from penstock.access.rights import refuse_handling, refuse_more, settle
from penstock.access.shared import SharedState
from penstock.access.values import Key, MadeKey, NewKey, StoredKey
from penstock.audit.record import Actor, Event
from penstock.clock import Clock
from penstock.config.limits import LimitSettings
from penstock.config.secret import Secret
from penstock.errors import Conflict, InvalidRequest, NotFound
from penstock.exchange import Principal
from penstock.ids import new_id

OWNER_TOKEN_PREFIX = "pso_"  # noqa: S105 -- the beginning of one
DAY_SECONDS = 86_400.0
LONGEST_OVERLAP = 90 * DAY_SECONDS


class Keys:
    """All methods that change something return when it is on disk and holds in this process.

    `authenticate(secret)` gives the `Principal` who shows a key, in a few microseconds, without waiting; it raises
    `Unauthenticated`, and the `UnknownKey` among those where another process may know better (`authenticate_late`).
    """

    def __init__(self, shared: SharedState, pepper: Pepper, clock: Clock) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._pepper = pepper
        self._clock = clock
        self.authenticate: Callable[[bytes], Principal] = shared.directory.authenticate

    @property
    def required(self) -> bool:
        """Whether requests need a key: from the moment on when the first was made."""
        return self._directory.required

    async def authenticate_late(self, secret: bytes) -> Principal:
        """As `authenticate`, for a key that another process may have made a moment ago."""
        await self._shared.catch_up()
        return self.authenticate(secret)

    def owner_token(self, token: str = "") -> str:
        """A secret of the server's life that stands for its owner: for commands on this machine.

        `token` is the one that another process of this server has made.
        """
        token = token or new_secret(OWNER_TOKEN_PREFIX)
        self._directory.admit(token.encode(), Principal(name="command line"))
        return token

    def limits_of(self, key_id: str) -> tuple[LimitSettings, ...]:
        """The limits that a key carries itself; none for one that is not known."""
        key = self._directory.keys.get(key_id)
        return () if key is None else key.limits

    def find(self, key_id: str) -> Key | None:
        """A key by its id, whoever asks."""
        return self._directory.key(key_id)

    def standing(self, principal: Principal) -> Principal:
        """A principal of before, for work that goes on in its name.

        Raises `Unauthenticated` where its key has ended since, or its project was closed.
        """
        now, key = self._clock.now_us(), self._directory.keys.get(principal.key_id)
        if principal.key_id and (key is None or key.revoked_us is not None):
            raise ended_key("has been revoked")
        if key is not None and key.expires_us is not None and key.expires_us <= now:
            raise ended_key("has expired")
        project = self._directory.projects.get(principal.project_id)
        if project is None or project.archived_us is not None:
            raise ended_key("belongs to a project that was closed")
        return principal

    def list(self, principal: Principal, project_id: str | None = None) -> tuple[Key, ...]:
        """The keys of the principal's project, newest first; of all projects, or of one, for the server's owner."""
        require(principal, "admin", "Listing keys")
        wanted = project_id if owns_server(principal) else principal.project_id
        found = [key for key in map(self._directory.key, self._directory.keys) if key is not None]
        shown = [key for key in found if wanted in (None, key.project_id)]
        if project_id is not None and project_id != wanted:
            return ()
        return tuple(sorted(shown, key=lambda key: (key.created_us, key.id), reverse=True))

    def get(self, principal: Principal, key_id: str) -> Key:
        """Raises `NotFound` also for a key of another project."""
        require(principal, "admin", "Reading a key")
        key = self._directory.key(key_id)
        if key is None or not sees(principal, key.project_id):
            raise NotFound(
                f"There is no key {key_id[:80]!r}.",
                hint="`penstock keys list` shows which there are.",
                param="key_id",
            )
        return key

    async def create(self, actor: Actor, wanted: NewKey) -> MadeKey:
        """Raises `Forbidden`, `InvalidRequest`, `NotFound` for the project, `Conflict` for a closed one."""
        now = self._clock.now_us()
        parent = self._directory.key(actor.principal.key_id)
        settled = settle(wanted, parent, actor.principal, now)
        project_id = settled.project_id or ""
        self._open_project(project_id)
        secret = new_secret()
        key = Key(
            id=new_id("key"),
            name=settled.name,
            prefix=shown_prefix(secret),
            project_id=project_id,
            role=settled.role,
            models=settled.models,
            routes=settled.routes,
            groups=settled.groups,
            limits=settled.limits,
            parent_id=parent.id if parent else None,
            created_by=actor.principal.name,
            created_us=now,
            expires_us=settled.expires_us,
        )
        stored = self._stored(key, secret)
        event = Event(action="key.created", target=key.id, project_id=project_id, after=shown(key))
        await self._shared.change(
            actor, lambda connection, number: repository.add_key(connection, number, stored), lambda _: event
        )
        return MadeKey(key, Secret(secret))

    async def take_over(self, actor: Actor, stored: StoredKey, source: str) -> bool:
        """Takes in a key that another gateway made, by its digest; false where it is here already.

        `source` is that gateway, for the record. Raises `NotFound` and `Conflict` for the project.
        """
        key = stored.key
        if key.id in self._directory.keys:
            return False
        self._open_project(key.project_id)
        event = Event(
            action="key.created", target=key.id, project_id=key.project_id, after=shown(key) | {"from": source}
        )
        await self._shared.change(
            actor, lambda connection, number: repository.add_key(connection, number, stored), lambda _: event
        )
        return True

    async def revoke(self, actor: Actor, key_id: str, *, children_too: bool = True) -> tuple[Key, ...]:
        """Ends a key, and by default all that were made with it; returns those that worked until now."""
        key = self.get(actor.principal, key_id)
        refuse_handling(key, actor.principal, "Revoking a key")
        now = self._clock.now_us()

        def event_of(ended: Iterable[Key]) -> Event:
            after = {"revoked": [each.id for each in ended]}
            return Event(action="key.revoked", target=key.id, project_id=key.project_id, after=after)

        ended = await self._shared.change(
            actor,
            lambda connection, number: repository.revoke(
                connection, number, key, children_too=children_too, now_us=now
            ),
            event_of,
        )
        return tuple(msgspec.structs.replace(each, revoked_us=now) for each in ended)

    async def rotate(
        self, actor: Actor, key_id: str, overlap_seconds: float = DAY_SECONDS, expires_us: int | None = None
    ) -> MadeKey:
        """Makes a successor with the same rights; the old key goes on for `overlap_seconds`, so that both work.

        The successor ends at `expires_us`, by default when the old key would have.
        """
        old = self.get(actor.principal, key_id)
        refuse_handling(old, actor.principal, "Rotating a key")
        now = self._clock.now_us()
        if not 0 <= overlap_seconds <= LONGEST_OVERLAP:
            raise InvalidRequest(
                f"An overlap of {overlap_seconds:g} s is out of range.", hint="Use 0 to 90 days.", param="overlap"
            )
        if old.revoked_us or (old.expires_us is not None and old.expires_us <= now):
            raise Conflict(f"The key {old.name!r} has ended.", hint="Make a new one with `penstock keys create`.")
        secret = new_secret()
        successor = msgspec.structs.replace(
            old,
            id=new_id("key"),
            prefix=shown_prefix(secret),
            created_by=actor.principal.name,
            created_us=now,
            expires_us=old.expires_us if expires_us is None else expires_us,
            last_used_us=None,
        )
        if successor.expires_us is not None and successor.expires_us <= now:
            raise InvalidRequest("The key would have expired already.", param="expires_at")
        # Whoever rotates a key learns its successor, so it must not be able to do more than they.
        refuse_more(successor, self._directory.key(actor.principal.key_id), actor.principal)
        refuse_more(successor, self._directory.key(old.parent_id or ""), actor.principal)
        ends_us = now + int(overlap_seconds * 1e6)
        stored = self._stored(successor, secret)
        event = Event(
            action="key.rotated",
            target=old.id,
            project_id=old.project_id,
            before={"expires_us": old.expires_us},
            after={"expires_us": min(ends_us, old.expires_us or ends_us), "successor": shown(successor)},
        )
        await self._shared.change(
            actor,
            lambda connection, number: repository.replace_key(connection, number, stored, old.id, ends_us),
            lambda _: event,
        )
        return MadeKey(successor, Secret(secret))

    def _stored(self, key: Key, secret: str) -> StoredKey:
        return StoredKey(key, self._pepper.digest(secret.encode()), "hmac-sha256")

    def _open_project(self, project_id: str) -> None:
        project = self._directory.projects.get(project_id)
        if project is None:
            raise NotFound(
                f"There is no project {project_id[:80]!r}.",
                hint=f"Make it with `penstock projects create {project_id[:80]}`.",
                param="project_id",
            )
        if project.archived_us:
            raise Conflict(
                f"The project {project_id!r} is closed.", hint="Open it again first.", param="project_id"
            )


def shown(key: Key) -> dict[str, object]:
    """A key's rights for an audit record, without what says nothing."""
    rights: dict[str, object] = {"name": key.name, "prefix": key.prefix, "role": key.role}
    for name in ("models", "routes", "groups", "expires_us", "parent_id"):
        if value := getattr(key, name):
            rights[name] = value
    if key.limits:
        rights["limits"] = [each.model_dump(mode="json", exclude_unset=True) for each in key.limits]
    return rights
