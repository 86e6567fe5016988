"""Who comes in: every request passes here first, and leaves with its principal or with an answer that says why not.

While no key was ever made, the server is in local mode: `local.LocalGuard` keeps web pages out, and whoever reaches
this machine's loopback address is the owner. From the first key on, every request needs one, or the session of
somebody who signed in with one; only routes with the role `None` are for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.access.directory import UnknownKey
from penstock.access.principal import RANK, permits
from penstock.access.routes import GuardedRoute, refusal
from penstock.access.sessions import cookie_name
from penstock.access.store import Access
from penstock.errors import Forbidden, PenstockError, Unauthenticated
from penstock.exchange import LOCAL, Principal
from penstock.http.errors import response_of
from penstock.http.local import PAGE_HEADERS, SAFE_METHODS, LocalGuard, shown
from penstock.http.routes import ApiRoute

HEADERS = "penstock.headers"
"""Where a scope has the request's headers by name; of one that was sent twice, the last."""

SIGN_IN = "/signin"


class Gate:
    """ASGI middleware. `access` is `None` for a server that is always in local mode."""

    def __init__(self, app: ASGIApp, access: Access | None, routes: Sequence[BaseRoute]) -> None:
        guarded = [route for route in routes if isinstance(route, GuardedRoute)]
        api = [route for route in guarded if isinstance(route, ApiRoute)]
        self._app = app
        self._access = access
        self._local = LocalGuard(guarded)
        self._public = [route.path_regex for route in guarded if route.role is None]
        self._exact = {route.path: route for route in api}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith("/v1/"):
            send = with_page_headers(send)
        try:
            try:
                self.check(scope)
            except UnknownKey:
                await self._check_late(scope)
        except Unauthenticated as error:
            await self._turn_away(error, scope, receive, send)
            return
        except PenstockError as error:
            await response_of(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def check_route(self, scope: Scope) -> None:
        """`check`, and the role of a route whose path has no variable part: for who goes past the routes.

        Raises `UnknownKey` also where a second look may find the key.
        """
        self.check(scope)
        route = self._exact[scope["path"]]
        principal: Principal = scope["principal"]
        if RANK[principal.role] < route.rank:
            raise refusal(principal, route.role)

    def check(self, scope: Scope) -> None:
        """Puts the principal into the scope. Raises a `PenstockError` for who may not come in."""
        access = self._access
        headers: dict[bytes, bytes] | None = scope.get(HEADERS)
        if headers is None:
            headers = scope[HEADERS] = dict(scope["headers"])
        if access is None or not access.keys.required:
            self._local.check(scope)
            scope["principal"] = LOCAL
            return
        secret = shown_key(headers)
        if secret is not None:
            self._enter(scope, access.keys.authenticate(secret))
        else:
            self._check_browser(scope, headers)
            self._enter(scope, access.sessions.resume(session_cookie(scope)))

    async def _check_late(self, scope: Scope) -> None:
        """The second look, for a key or a session that another process began a moment ago."""
        access = self._access
        assert access is not None
        secret = shown_key(scope[HEADERS])
        if secret is not None:
            self._enter(scope, await access.keys.authenticate_late(secret))
        else:
            self._enter(scope, await access.sessions.resume_late(session_cookie(scope)))

    def _enter(self, scope: Scope, principal: Principal) -> None:
        if principal.routes and not permits(principal.routes, scope["path"]):
            raise Forbidden(
                f"The key {principal.name!r} may not use {scope['path']}.",
                hint=f"It may use {', '.join(principal.routes)}.",
            )
        scope["principal"] = principal

    def _check_browser(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Raises `Forbidden` for what a page of another site sends in the name of somebody who is signed in."""
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if scope["method"] in SAFE_METHODS:
            return
        own = origin is not None and origin.partition(b"://")[2] == headers.get(b"host")
        if (origin is not None and not own) or (site is not None and site not in (b"same-origin", b"none")):
            raise Forbidden(
                f"The request comes from a page of {shown(origin or site or b'')}, and only Penstock's own may.",
                hint="Programs show a key: 'Authorization: Bearer pst_…'.",
            )
        self._local.check_type(scope, headers.get(b"content-type"))

    async def _turn_away(self, error: PenstockError, scope: Scope, receive: Receive, send: Send) -> None:
        """Who shows nothing gets to what is for everybody, a browser to the page to sign in, a program an error."""
        path = scope["path"]
        if any(pattern.match(path) for pattern in self._public):
            scope["principal"] = None
            await self._app(scope, receive, send)
            return
        response = response_of(error)
        if scope["method"] == "GET" and wants_page(scope[HEADERS]):
            target = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            response.status_code = 303
            response.headers["location"] = f"{SIGN_IN}?to={quote(target, safe='/')}"
        elif b"hx-request" in scope[HEADERS]:
            response.headers["hx-redirect"] = SIGN_IN
        await response(scope, receive, send)


def shown_key(headers: dict[bytes, bytes]) -> bytes | None:
    """The key that a request shows, as OpenAI's, Anthropic's and Azure's clients send it; `None` for none."""
    shown = headers.get(b"authorization")
    if shown is not None:
        if shown[:7] == b"Bearer " or shown[:7].lower() == b"bearer ":
            return shown[7:].strip()
        raise Unauthenticated(
            "The Authorization header is no bearer key.", hint="Send 'Authorization: Bearer pst_…'."
        )
    return headers.get(b"x-api-key") or headers.get(b"api-key")


def session_cookie(scope: Scope) -> bytes:
    """The session's cookie. Raises `Unauthenticated` where there is none."""
    wanted = cookie_name(scope["scheme"]).encode()
    for piece in scope[HEADERS].get(b"cookie", b"").split(b";"):
        name, _, value = piece.strip().partition(b"=")
        if name == wanted and value:
            return bytes(value)
    raise Unauthenticated(
        "This server needs a key, and none was shown.",
        hint="Send the header 'Authorization: Bearer pst_…'; `penstock keys create` makes a key.",
    )


def wants_page(headers: dict[bytes, bytes]) -> bool:
    return b"text/html" in headers.get(b"accept", b"") and b"hx-request" not in headers


def with_page_headers(send: Send) -> Send:
    """Adds what keeps a page in its place, where the answer does not say so itself."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            extra = [header for header in PAGE_HEADERS if header[0] not in given]
            message["headers"] = [*message["headers"], *extra]
        await send(message)

    return send_with_headers
