"""Signing in to the console with an account of the organisation: away to the issuer, and back."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.sessions import cookie_name
from penstock.access.store import Access
from penstock.config.oidc import LOOPBACK
from penstock.console.rendering import PageRoute, View, render
from penstock.console.signin import access_of, address_of, first_page, keep_session, own_page, try_again
from penstock.errors import ConfigError, Forbidden, PenstockError, Unauthenticated

SIGNED_IN = View("signedin.html", "")
ATTEMPT_COOKIE = "penstock_oidc"
PATH = "/signin/oidc"
CALLBACK = f"{PATH}/callback"


class SignedInPage(Struct, frozen=True, kw_only=True):
    """Leads on to `to`. The browser goes there from a page of this server, so it sends the session's cookie,
    which it keeps back while it follows the issuer's redirect."""

    title: str
    to: str


async def begin(request: Request) -> Response:
    access, to = access_of(request), own_page(request.query_params.get("to", ""))
    if access is None or access.oidc is None:
        return RedirectResponse("/signin", 303)
    try:
        departure = await access.oidc.begin(origin(request, access.oidc.settings.address), to)
    except PenstockError as error:
        return try_again(request, to, error)
    answer = RedirectResponse(departure.address, 303)
    answer.set_cookie(
        attempt_cookie(request),
        departure.cookie,
        max_age=600,
        httponly=True,
        # The issuer's redirect is a navigation from another site, with which strict cookies are not sent.
        samesite="lax",
        secure=request.scope["scheme"] == "https",
    )
    return answer


async def callback(request: Request) -> Response:
    access = access_of(request)
    if access is None or access.oidc is None:
        return RedirectResponse("/signin", 303)
    try:
        answer = await finish(request, access)
    except PenstockError as error:
        answer = try_again(request, "", error)
    answer.delete_cookie(
        attempt_cookie(request), httponly=True, samesite="lax", secure=request.scope["scheme"] == "https"
    )
    return answer


async def finish(request: Request, access: Access) -> Response:
    """Raises whatever ends an attempt; only those that the issuer or its token ends are counted and recorded."""
    assert access.oidc is not None
    address = address_of(request)
    attempt = access.oidc.returned(request.cookies.get(attempt_cookie(request), ""), request.query_params)
    access.sessions.check(address)
    try:
        arrival = await access.oidc.finish(attempt, request.query_params["code"])
        cookie = await access.sessions.admit(arrival.principal, arrival.expires_us, address)
    except (Unauthenticated, Forbidden) as error:
        await access.sessions.failed(address, error.message)
        raise
    page = SignedInPage(title="Signed in", to=own_page(arrival.to) or first_page(arrival.principal))
    answer = render(request, SIGNED_IN, page)
    keep_session(answer, request, cookie, seconds=int(access.oidc.settings.session_hours * 3600))
    return answer


def origin(request: Request, configured: str | None) -> str:
    """Where browsers reach this server. Raises `ConfigError` for a host that only the request vouches for."""
    if configured is not None:
        return configured.rstrip("/")
    host = request.headers.get("host", "")
    if not is_loopback(host):
        raise ConfigError(
            f"Signing in at {host[:100]!r} is not set up.",
            hint=f'Write address = "https://{host[:100]}" under [access.oidc], if that is where this server is.',
        )
    return f"{request.scope['scheme']}://{host}"


def is_loopback(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
    except ValueError:
        return False
    return parts.netloc == host and "@" not in host and parts.hostname in LOOPBACK


def attempt_cookie(request: Request) -> str:
    return (
        f"__Host-{ATTEMPT_COOKIE}" if cookie_name(request.scope["scheme"]).startswith("__Host-") else ATTEMPT_COOKIE
    )


def routes() -> list[BaseRoute]:
    return [PageRoute(PATH, begin, role=None), PageRoute(CALLBACK, callback, role=None)]
