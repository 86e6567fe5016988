"""The guard of local mode: whoever reaches this machine's loopback address may do everything, web pages may not.

A page from elsewhere in the user's browser can send requests to 127.0.0.1. It is kept out three ways: its
requests carry its own `Origin` or `Sec-Fetch-Site`; a page that got its own name to resolve to 127.0.0.1 (DNS
rebinding) sends that name as `Host`; and what it may send without asking first is never declared as JSON.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import Scope

from penstock.access.routes import JSON_TYPE, GuardedRoute
from penstock.errors import Forbidden, InvalidRequest, UnsupportedMediaType

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PAGE_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


class LocalGuard:
    """What is checked in local mode. `routes` say which type of body each takes."""

    def __init__(self, routes: Sequence[GuardedRoute] = ()) -> None:
        self._types = [
            (route.methods or (), route.path_regex, route.media_types)
            for route in routes
            if route.media_types != (JSON_TYPE,)
        ]

    def check(self, scope: Scope) -> None:
        """Raises `Forbidden`, `InvalidRequest` or `UnsupportedMediaType`."""
        hosts: list[bytes] = []
        origin = site = mode = content_type = None
        has_body = False
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
            elif name == b"content-type":
                content_type = value
            elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
                has_body = True
        port = check_host(hosts)
        if origin is not None:
            check_origin(origin, port)
        if site is not None and site not in (b"same-origin", b"none"):
            check_site(scope["method"], mode)
        if scope["method"] not in SAFE_METHODS and (has_body or content_type is not None):
            self.check_type(scope, content_type)

    def check_type(self, scope: Scope, content_type: bytes | None) -> None:
        """Raises `UnsupportedMediaType` for a body that is not declared as what its route takes."""
        declared = (content_type or b"").split(b";", 1)[0].strip().lower()
        matching = (
            media_types
            for methods, pattern, media_types in self._types
            if scope["method"] in methods and pattern.match(scope["path"])
        )
        wanted = next(matching, (JSON_TYPE,))
        if declared.decode("latin-1") in wanted:
            return
        takes = " or ".join(wanted)
        raise UnsupportedMediaType(
            f"The body is declared as {shown(declared or b'nothing')}, and {scope['path']} takes {takes}.",
            hint=f"Send the header 'Content-Type: {wanted[0]}'.",
        )


def check_host(hosts: list[bytes]) -> int:
    """The port of the one Host header. Raises `InvalidRequest` or `Forbidden`."""
    if len(hosts) != 1:
        raise InvalidRequest(f"The request has {len(hosts)} Host headers.", hint="Send one.")
    port = loopback_port(hosts[0])
    if port is None:
        raise Forbidden(
            f"The request is for host {shown(hosts[0])}, and in local mode only this machine is served.",
            hint="Use http://127.0.0.1 or http://localhost with the server's port.",
        )
    return port


def check_origin(origin: bytes, port: int) -> None:
    """Raises `Forbidden` for a page that this server did not send."""
    scheme, _, host = origin.partition(b"://")
    if scheme != b"http" or loopback_port(host) != port:
        raise Forbidden(
            f"The request comes from a page of {shown(origin)}, and in local mode only Penstock's own pages may.",
            hint="Call the API from a program instead, not from a web page.",
        )


def check_site(method: str, mode: bytes | None) -> None:
    """Raises `Forbidden` for what another site's page does, other than a link that its user follows."""
    if method not in SAFE_METHODS or mode != b"navigate":
        raise Forbidden(
            "The request comes from a page of another site, and in local mode only Penstock's own pages may.",
            hint="Call the API from a program instead, not from a web page.",
        )


@functools.lru_cache(maxsize=256)
def loopback_port(host: bytes) -> int | None:
    """The port of a host that is this machine whatever any name server says; `None` for every other host."""
    text = host.decode("latin-1")
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc != text or parts.username is not None or not is_loopback(name):
        return None
    return 80 if port is None else port


def is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))
