"""The issuer as this server talks to it: its discovery document, its keys, and codes exchanged for tokens."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
from msgspec import Struct

from penstock.access.oidc.tokens import VerifyingKey, find, read_keys
from penstock.clock import Clock
from penstock.config.oidc import LOOPBACK, OidcSettings
from penstock.errors import PenstockError, Unauthenticated, Unavailable, UpstreamFailed

KEEP_SECONDS = 3600.0
"""How long the document and the keys are used before they are read again."""
LOOK_AGAIN_SECONDS = 60.0
"""The least time between two looks for a key that is not known, whoever asks for it."""
ANSWER_SECONDS = 10.0
LARGEST_ANSWER = 1 << 20
NO_HEADERS: Mapping[str, str] = {}


class Endpoints(Struct, frozen=True):
    """What the discovery document says. `secret_in_body` is how the client proves itself for a token."""

    authorization: str
    token: str
    keys: str
    secret_in_body: bool


class Issuer:
    """One configured issuer. Nothing is fetched before somebody signs in; redirects are not followed."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = asyncio.Lock()
        self._endpoints: Endpoints | None = None
        self._keys: tuple[VerifyingKey, ...] = ()
        self._endpoints_at = self._keys_at = float("-inf")

    async def endpoints(self) -> Endpoints:
        """Raises `Unavailable` where the issuer does not answer, `UpstreamFailed` for another's document."""
        async with self._lock:
            if self._endpoints is None or self._clock.monotonic() - self._endpoints_at > KEEP_SECONDS:
                address = self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
                self._endpoints = self._read(await self._fetch("GET", address))
                self._endpoints_at = self._clock.monotonic()
            return self._endpoints

    async def key(self, kid: str) -> VerifyingKey:
        """The key that a token names. Raises `Unauthenticated` where the issuer has none of that name."""
        address = (await self.endpoints()).keys
        async with self._lock:
            age = self._clock.monotonic() - self._keys_at
            found = find(self._keys, kid)
            if age > KEEP_SECONDS or (found is None and age > LOOK_AGAIN_SECONDS):
                self._keys_at = self._clock.monotonic()
                self._keys = read_keys(await self._fetch("GET", address))
                found = find(self._keys, kid)
        if found is None:
            raise Unauthenticated(
                "The issuer's ID token is refused: it is signed with a key that the issuer does not list.",
                hint="If the issuer has just changed its keys, try again in a minute.",
            )
        return found

    async def exchange(self, code: str, verifier: str, redirect: str) -> str:
        """The ID token for a code. Raises `Unauthenticated` where the issuer refuses the code."""
        endpoints = await self.endpoints()
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers = {}
        if settings.client_secret is None:
            form["client_id"] = settings.client_id
        elif endpoints.secret_in_body:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret.reveal()}
        else:
            # RFC 6749, 2.3.1: both are form-encoded before they become user and password.
            proof = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret.reveal())}"
            headers = {"authorization": f"Basic {base64.b64encode(proof.encode()).decode()}"}
        answer = await self._fetch("POST", endpoints.token, form, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise UpstreamFailed(f"{settings.issuer} gave no ID token.", hint="Is 'openid' among the scopes?")
        return token

    def _read(self, document: Mapping[str, Any]) -> Endpoints:
        """Raises `UpstreamFailed` for another issuer's document, or one that leads elsewhere."""
        settings = self._settings
        if document.get("issuer") != settings.issuer:
            raise UpstreamFailed(
                f"The discovery document of {settings.issuer} is one of {str(document.get('issuer'))[:200]!r}.",
                hint="Write issuer under [access.oidc] exactly as the document does.",
            )
        named = {
            name: self._own(name, document.get(name))
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        }
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return Endpoints(
            authorization=named["authorization_endpoint"],
            token=named["token_endpoint"],
            keys=named["jwks_uri"],
            secret_in_body="client_secret_basic" not in methods,
        )

    def _own(self, name: str, address: object) -> str:
        """An address at the issuer's own host, or one that the configuration allows."""
        parts, issuer = urlsplit(str(address)), urlsplit(self._settings.issuer)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        own = parts.netloc == issuer.netloc and parts.scheme == issuer.scheme
        if not isinstance(address, str) or not safe or not (own or parts.hostname in self._settings.hosts):
            raise UpstreamFailed(
                f"The issuer {self._settings.issuer} has its {name} at {str(address)[:200]!r}.",
                hint=f"If that is right, add {parts.hostname!r} to hosts under [access.oidc]."
                if safe
                else "Only https addresses are used.",
            )
        return address

    async def _fetch(
        self,
        method: str,
        address: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> dict[str, Any]:
        """The JSON object that answers. Raises `Unauthenticated` where a code is refused."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        given = {"accept": "application/json", **headers}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=given) as session,
                session.request(method, address, data=form, allow_redirects=False) as response,
            ):
                body = await response.content.read(LARGEST_ANSWER)
                while len(body) < LARGEST_ANSWER and (more := await response.content.read(LARGEST_ANSWER)):
                    body += more
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"The issuer does not answer at {address}: {type(error).__name__}.",
                hint="Sign in with a key, or try again later.",
            ) from None
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer
        raise failed(address, status, answer)


def failed(address: str, status: int, answer: object) -> PenstockError:
    """What an answer other than a JSON object with status 200 means."""
    code = answer.get("error") if isinstance(answer, dict) else None
    if code == "invalid_grant":
        return Unauthenticated(
            "The issuer refuses the code: it was used already, or is too old.", hint="Sign in again."
        )
    said = f" and {str(code)[:60]!r}" if code else ""
    return UpstreamFailed(
        f"The issuer answered with status {status}{said} at {address}.",
        hint="Check client_id and client_secret under [access.oidc]."
        if code in ("invalid_client", "unauthorized_client")
        else "Try again later.",
    )
