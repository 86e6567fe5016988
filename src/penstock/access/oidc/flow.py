"""One attempt to sign in: away to the issuer with a state, a nonce and a challenge, and back with a code.

What must be known on the way back stands in a cookie of the browser that left, under the pepper's seal. So the
attempt belongs to that browser, any process can finish it, and nothing is kept of those that never come back.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from penstock.access.hashing import Pepper
from penstock.access.oidc.issuer import Issuer
from penstock.access.oidc.people import person, session_end
from penstock.access.oidc.tokens import Expected, key_id, verify
from penstock.clock import Clock
from penstock.config.oidc import OidcSettings
from penstock.errors import Unauthenticated
from penstock.exchange import Principal

CALLBACK = "/signin/oidc/callback"
ATTEMPT_SECONDS = 600
SEAL = b"penstock: an attempt to sign in\0"
LONGEST_PARAMETER = 4096


class Attempt(Struct, frozen=True, kw_only=True):
    """What the browser keeps while it is away. `to` is the page that was asked for."""

    state: str
    nonce: str
    verifier: str
    redirect: str
    to: str
    begun_us: int


class Departure(Struct, frozen=True):
    """Where the browser goes, and the cookie that it takes along."""

    address: str
    cookie: str


class Arrival(Struct, frozen=True):
    """Who came back, until when, and where they wanted to go."""

    principal: Principal
    expires_us: int
    to: str


class OidcFlow:
    def __init__(self, settings: OidcSettings, pepper: Pepper, clock: Clock) -> None:
        self.settings = settings
        self._issuer = Issuer(settings, clock)
        self._pepper = pepper
        self._clock = clock

    async def begin(self, origin: str, to: str) -> Departure:
        """`origin` is where the browser reaches this server, `to` a page of it.

        Raises `Unavailable` or `UpstreamFailed` where the issuer cannot be used.
        """
        endpoints = await self._issuer.endpoints()
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            redirect=origin + CALLBACK,
            to=to,
            begun_us=self._clock.now_us(),
        )
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": attempt.redirect,
            "scope": " ".join(self.settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in endpoints.authorization else "?"
        return Departure(f"{endpoints.authorization}{joint}{urlencode(query)}", self._seal(attempt))

    def returned(self, cookie: str, query: Mapping[str, str]) -> Attempt:
        """The attempt of the browser that comes back. Raises `Unauthenticated` for one that it did not begin."""
        attempt = self._open(cookie)
        state = query.get("state", "")
        if not hmac.compare_digest(attempt.state.encode(), state.encode()):
            raise not_begun("the state is another's")
        if "error" in query:
            said = query["error"][:60]
            raise Unauthenticated(
                f"The issuer did not sign you in: {said}.",
                hint="Try again, or ask who runs this server whether your account may use it.",
            )
        issuer = query.get("iss", self.settings.issuer)  # RFC 9207
        if issuer != self.settings.issuer or not 0 < len(query.get("code", "")) <= LONGEST_PARAMETER:
            raise not_begun("the answer is not the issuer's")
        return attempt

    async def finish(self, attempt: Attempt, code: str) -> Arrival:
        """Who signed in. Raises `Unauthenticated`, `Forbidden` for who has no role, or why the issuer fails."""
        token = await self._issuer.exchange(code, attempt.verifier, attempt.redirect)
        key = await self._issuer.key(key_id(token))
        claims = verify(token, key, Expected(self.settings.issuer, self.settings.client_id, attempt.nonce))
        expires = session_end(claims, self.settings, self._clock.now_us())
        return Arrival(person(claims, self.settings), expires, attempt.to)

    def _seal(self, attempt: Attempt) -> str:
        payload = msgspec.json.encode(attempt)
        return f"{encoded(payload)}.{encoded(self._pepper.digest(SEAL + payload))}"

    def _open(self, cookie: str) -> Attempt:
        payload, _, seal = cookie.partition(".")
        try:
            content = decoded(payload)
            whole = hmac.compare_digest(self._pepper.digest(SEAL + content), decoded(seal))
            attempt = msgspec.json.decode(content, type=Attempt) if whole else None
        except ValueError:
            attempt = None
        if attempt is None:
            raise not_begun("its cookie is missing")
        if self._clock.now_us() - attempt.begun_us > ATTEMPT_SECONDS * 1_000_000:
            raise not_begun("it took longer than ten minutes")
        return attempt


def challenge(verifier: str) -> str:
    """RFC 7636, S256."""
    return encoded(hashlib.sha256(verifier.encode()).digest())


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def not_begun(why: str) -> Unauthenticated:
    return Unauthenticated(
        f"This is not the end of a sign-in that this browser began: {why}.",
        hint="Sign in again from the page /signin, at the address that [access.oidc] names.",
    )
