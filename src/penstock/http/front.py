"""The short way in: requests to the model routes whose body has come go past routing and middleware.

What those would check is checked here, by the same code; everything else, and every request that is in any way
unusual, goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.access.directory import UnknownKey
from penstock.errors import PenstockError
from penstock.http.bodies import BodyLimits
from penstock.http.connection import direct
from penstock.http.errors import response_of


class Front:
    """An ASGI application around `app`. `guard` raises a `PenstockError` for a request that may not come in."""

    def __init__(
        self, app: ASGIApp, endpoints: Mapping[str, ASGIApp], guard: Callable[[Scope], None], bodies: BodyLimits
    ) -> None:
        self._app = app
        self._endpoints = endpoints
        self._guard = guard
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        endpoint = self._endpoints.get(scope["path"])
        request = direct(scope, receive)
        if endpoint is None or request is None or not 0 < request.size <= self._bodies.bytes:
            await self._app(scope, receive, send)
            return
        try:
            self._guard(scope)
        except UnknownKey:
            await self._app(scope, receive, send)
            return
        except PenstockError as error:
            await response_of(error)(scope, receive, send)
            return
        scope["app"] = self._app
        await endpoint(scope, receive, send)
