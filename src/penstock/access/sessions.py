"""Sessions of the console: signed in with a key, known by a cookie, ended with the key at the latest."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from penstock.access import repository
from penstock.access.directory import UnknownKey, unknown_key
from penstock.access.hashing import Pepper, new_secret
from penstock.access.shared import SharedState
from penstock.access.values import Session
from penstock.audit.log import Audit
from penstock.audit.record import Actor, Event
from penstock.clock import Clock
from penstock.config.secret import Secret
from penstock.errors import Forbidden, RateLimited, Unauthenticated
from penstock.exchange import LOCAL_PROJECT, Principal

COOKIE = "penstock_session"
SECURE_COOKIE = "__Host-penstock_session"
SESSION_PREFIX = "pss_"
SESSION_SECONDS = 12 * 3600
FAILURES = 10
FAILURE_SECONDS = 60.0
ALL_FAILURES = 200
"""Failed attempts within `FAILURE_SECONDS`, from one address and from all together."""
MAX_ADDRESSES = 10_000


class Sessions:
    def __init__(self, shared: SharedState, pepper: Pepper, audit: Audit, clock: Clock) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._pepper = pepper
        self._audit = audit
        self._clock = clock
        self._attempts = Attempts(clock)

    async def sign_in(self, secret: bytes, address: str) -> tuple[Secret, Principal]:
        """The cookie of a new session, and whose it is.

        Raises `Unauthenticated`, or `RateLimited` after too many failures from an address.
        """
        self._attempts.check(address)
        try:
            principal = await self._principal(secret)
        except Unauthenticated:
            self._attempts.failed(address)
            event = Event(action="signin.failed", target="", project_id=LOCAL_PROJECT)
            await self._audit.record(event, Actor(Principal(name="unknown", role="viewer"), address))
            raise
        cookie = new_secret(SESSION_PREFIX)
        now = self._clock.now_us()
        made = Session(
            digest=self._pepper.digest(cookie.encode()),
            key_id=principal.key_id,
            created_us=now,
            expires_us=now + SESSION_SECONDS * 1_000_000,
        )
        await self._begin(made, Actor(principal, address))
        return Secret(cookie), principal

    def check(self, address: str) -> None:
        """Raises `RateLimited` after too many failures from an address."""
        self._attempts.check(address)

    async def failed(self, address: str, why: str) -> None:
        """Counts a failed attempt with an account, and records it."""
        self._attempts.failed(address)
        event = Event(action="signin.failed", target="", project_id=LOCAL_PROJECT, after={"reason": why})
        await self._audit.record(event, Actor(Principal(name="unknown", role="viewer"), address))

    async def admit(self, person: Principal, expires_us: int, address: str) -> Secret:
        """The cookie of a session of somebody whom the issuer has named. Raises `Forbidden` without a project."""
        project = self._directory.projects.get(person.project_id)
        if project is None or project.archived_us is not None:
            raise Forbidden(
                f"{person.name} has a role in project {person.project_id!r}, and there is no such project.",
                hint=f"Make it with `penstock projects create --id {person.project_id}`.",
            )
        cookie = new_secret(SESSION_PREFIX)
        made = Session(
            digest=self._pepper.digest(cookie.encode()),
            key_id=person.key_id,
            created_us=self._clock.now_us(),
            expires_us=expires_us,
            person=person,
        )
        await self._begin(made, Actor(person, address))
        return Secret(cookie)

    async def _begin(self, made: Session, actor: Actor) -> None:
        principal = actor.principal
        after = None if made.person is None else {"name": principal.name, "role": principal.role}
        event = Event(action="signin", target=principal.key_id, project_id=principal.project_id, after=after)
        await self._shared.change(
            actor, lambda connection, number: repository.add_session(connection, number, made), lambda _: event
        )

    async def _principal(self, secret: bytes) -> Principal:
        try:
            principal = self._directory.authenticate(secret)
        except UnknownKey:
            await self._shared.catch_up()
            principal = self._directory.authenticate(secret)
        if not principal.key_id:
            raise unknown_key()
        return principal

    async def sign_out(self, cookie: bytes, actor: Actor) -> None:
        """Ends the session of a cookie."""
        digest, now = self._pepper.digest(cookie), self._clock.now_us()
        event = Event(action="signout", target=actor.principal.key_id, project_id=actor.principal.project_id)
        await self._shared.change(
            actor,
            lambda connection, number: repository.end_session(connection, number, digest, now),
            lambda _: event,
        )

    def resume(self, cookie: bytes) -> Principal:
        """Who is signed in. Raises `Unauthenticated`; `UnknownKey` where another process may know the session."""
        return self._directory.resume(cookie)

    async def resume_late(self, cookie: bytes) -> Principal:
        """As `resume`, for a session that another process may have begun a moment ago."""
        await self._shared.catch_up()
        return self._directory.resume(cookie)


class Attempts:
    """Failed attempts by address, each given back evenly over `FAILURE_SECONDS`. Bounded in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises `RateLimited` where an address, or everybody together, failed too often."""
        for source, most in ((network(address), FAILURES), ("", ALL_FAILURES)):
            level = self._level(source, most)
            if level > most - 1:
                raise RateLimited(
                    "There were too many failed attempts to sign in.",
                    hint="Wait a minute, then try again with a valid key.",
                    retry_after=(level - most + 1) * FAILURE_SECONDS / most,
                )

    def failed(self, address: str) -> None:
        for source, most in ((network(address), FAILURES), ("", ALL_FAILURES)):
            self._addresses[source] = (self._level(source, most) + 1, self._clock.monotonic())
            self._addresses.move_to_end(source)
        while len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)

    def _level(self, source: str, most: int) -> float:
        level, at = self._addresses.get(source, (0.0, 0.0))
        return max(0.0, level - (self._clock.monotonic() - at) * most / FAILURE_SECONDS)


def cookie_name(scheme: str) -> str:
    """Under TLS one that browsers take and send for this host only, and only encrypted."""
    return SECURE_COOKIE if scheme == "https" else COOKIE


def network(address: str) -> str:
    """What one attacker has: an IPv4 address, or a whole /64 network of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
