"""Which requests a connection hands to their endpoint itself, past ASGI, routing and middleware.

What those would check is checked here, by the same code, as soon as the head of a request has come. Whatever is in
any way unusual, or is refused, goes the long way, which has the words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.types import Scope

from penstock.http.bodies import BodyLimits
from penstock.http.gate import HEADERS
from penstock.http.posts import Headers, Post

UNUSUAL = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Serves(Protocol):
    """An endpoint."""

    def serve(self, post: Post) -> Coroutine[Any, Any, None]: ...


class Front:
    """`guard` raises for a request that may not come in."""

    def __init__(
        self, app: Starlette, endpoints: Mapping[str, Serves], guard: Callable[[Scope], None], bodies: BodyLimits
    ) -> None:
        self._app = app
        self._endpoints = {path.encode(): (path, endpoint) for path, endpoint in endpoints.items()}
        self._guard = guard
        self.bodies = bodies

    def admit(self, url: bytes, headers: Headers, scheme: str) -> tuple[Serves, Scope] | None:
        """Who answers a POST, and the scope for it; `None` for what goes the long way."""
        found = self._endpoints.get(url) or self._endpoints.get(url.partition(b"?")[0])
        if found is None:
            return None
        named = dict(headers)
        length = named.get(b"content-length", b"")
        if not length.isdigit() or not 0 < int(length) <= self.bodies.bytes or not UNUSUAL.isdisjoint(named):
            return None
        path, endpoint = found
        scope: Scope = {
            "app": self._app,
            "method": "POST",
            "scheme": scheme,
            "path": path,
            "headers": headers,
            HEADERS: named,
        }
        try:
            self._guard(scope)
        except Exception:  # the long way comes to the same, and says it
            return None
        return endpoint, scope
