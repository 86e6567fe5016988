"""AWS Signature Version 4 (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html).

Held against the vectors that AWS publishes.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

from msgspec import Struct

from penstock.models.dialects.base import JSON, Headers
from penstock.net import Origin

ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(Struct, frozen=True):
    """`token` is that of temporary credentials."""

    key_id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        return "Credentials(********)"


class Scope(Struct, frozen=True):
    """What a signature is good for."""

    region: str
    service: str


class Signature:
    """Signs requests to one address (`auth.Auth`). `now` is in seconds, UTC."""

    fixed: Headers = ()

    def __init__(
        self, credentials: Credentials, scope: Scope, base_url: str, now: Callable[[], float] = time.time
    ) -> None:
        self._credentials = credentials
        self._scope = scope
        parts = urlsplit(base_url)
        self._host = Origin.of(base_url).authority
        self._prefix = parts.path
        self._now = now
        self._day = ""
        self._key = b""
        self.secrets: Sequence[str] = tuple(filter(None, (credentials.secret, credentials.token)))

    def sign(self, path: str, body: bytes) -> Headers:
        """The headers of a POST of JSON."""
        given = JSON
        return tuple(self.signed("POST", self._prefix + path, given, body)[len(given) :])

    def signed(self, method: str, path: str, headers: Headers, body: bytes) -> list[tuple[str, str]]:
        """The headers given and those of the signature. `path` is as it is sent, its query included."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        found = [*headers, ("X-Amz-Date", stamp)]
        if self._credentials.token:
            found.append(("X-Amz-Security-Token", self._credentials.token))
        lines = sorted((name.lower(), " ".join(value.split())) for name, value in [*found, ("host", self._host)])
        names = ";".join(name for name, _ in lines)
        route, _, query = path.partition("?")
        if self._scope.service != "s3":
            route = quote(route, safe="/~")  # what is percent-encoded is encoded again, except for S3
        request = "\n".join(
            (
                method,
                route or "/",
                "&".join(sorted(each if "=" in each else f"{each}=" for each in query.split("&") if each)),
                *(f"{name}:{value}" for name, value in lines),
                "",
                names,
                hashlib.sha256(body).hexdigest(),
            )
        )
        day = stamp[:8]
        scope = f"{day}/{self._scope.region}/{self._scope.service}/aws4_request"
        text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
        signature = hmac.digest(self._key_of(day), text.encode(), "sha256").hex()
        who = f"Credential={self._credentials.key_id}/{scope}"
        found.append(("Authorization", f"{ALGORITHM} {who}, SignedHeaders={names}, Signature={signature}"))
        return found

    def _key_of(self, day: str) -> bytes:
        """The signing key of a day; it is made once."""
        if day != self._day:
            key = f"AWS4{self._credentials.secret}".encode()
            for part in (day, self._scope.region, self._scope.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        return self._key
