"""Signing in to the console with a key, and out of it. The browser keeps a session, never the key."""

from __future__ import annotations

from urllib.parse import parse_qs

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.principal import at_least
from penstock.access.routes import principal_of
from penstock.access.sessions import SESSION_SECONDS, cookie_name
from penstock.access.store import Access
from penstock.audit.record import Actor
from penstock.config.secret import Secret
from penstock.console.rendering import PageRoute, View, render
from penstock.errors import InvalidRequest, PenstockError, RateLimited, Unauthenticated
from penstock.exchange import Principal
from penstock.gateway.services import Services

SIGN_IN = View("signin.html", "")
LONGEST_FORM = 10_000


class SignInPage(Struct, frozen=True, kw_only=True):
    """`to` is the page that was asked for. `problem` says why the last attempt failed, "" for the first.

    `issuer` is what the page calls the issuer of accounts, "" where there is none.
    """

    title: str
    to: str
    issuer: str = ""
    problem: str = ""
    hint: str = ""


async def show(request: Request) -> Response:
    to = own_page(request.query_params.get("to", ""))
    if access_of(request) is None:
        return RedirectResponse(to or "/", 303)
    return render(request, SIGN_IN, SignInPage(title="Sign in", to=to, issuer=issuer_of(request)))


async def sign_in(request: Request) -> Response:
    access = access_of(request)
    if access is None:
        return RedirectResponse("/", 303)
    form = read_form(await request.body())
    to = own_page(form.get("to", ""))
    try:
        cookie, principal = await access.sessions.sign_in(form.get("key", "").strip().encode(), address_of(request))
    except (Unauthenticated, RateLimited) as error:
        return try_again(request, to, error)
    answer = RedirectResponse(to or first_page(principal), 303)
    keep_session(answer, request, cookie, seconds=SESSION_SECONDS)
    return answer


def keep_session(answer: Response, request: Request, cookie: Secret, *, seconds: int) -> None:
    scheme = request.scope["scheme"]
    answer.set_cookie(
        cookie_name(scheme),
        cookie.reveal(),
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=scheme == "https",
    )


async def sign_out(request: Request) -> Response:
    access, name = access_of(request), cookie_name(request.scope["scheme"])
    cookie = request.cookies.get(name)
    if access is not None and cookie:
        await access.sessions.sign_out(cookie.encode(), Actor(principal_of(request), address_of(request)))
    answer = RedirectResponse("/signin", 303)
    answer.delete_cookie(name, httponly=True, samesite="strict", secure=request.scope["scheme"] == "https")
    return answer


def try_again(request: Request, to: str, error: PenstockError) -> Response:
    page = SignInPage(title="Sign in", to=to, issuer=issuer_of(request), problem=error.message, hint=error.hint)
    headers = {"Retry-After": str(max(1, round(error.retry_after)))} if error.retry_after else {}
    answer = render(request, SIGN_IN, page, headers)
    answer.status_code = error.status
    return answer


def access_of(request: Request) -> Access | None:
    """Where keys are; `None` in local mode, where nobody signs in."""
    services: Services = request.app.state.services
    return services.access if services.access is not None and services.access.keys.required else None


def issuer_of(request: Request) -> str:
    access = access_of(request)
    return "" if access is None or access.oidc is None else access.oidc.settings.title


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form. Raises `InvalidRequest` for one that the page does not send."""
    try:
        fields = parse_qs(body[:LONGEST_FORM].decode("ascii"), max_num_fields=10)
    except ValueError:
        raise InvalidRequest("The form cannot be read.", hint="Sign in on the page /signin.") from None
    return {name: values[0] for name, values in fields.items()}


def own_page(to: str) -> str:
    """A page of this server, "" for anything else: a link must not lead elsewhere after signing in."""
    plain = to.startswith("/") and not to.startswith(("//", "/\\", "/signin")) and to.isprintable()
    return to if plain else ""


def first_page(principal: Principal) -> str:
    return "/" if at_least(principal, "developer") else "/overview"


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def routes() -> list[BaseRoute]:
    return [
        PageRoute("/signin", show, role=None),
        PageRoute("/signin", sign_in, role=None, methods=("POST",)),
        PageRoute("/signout", sign_out, role="viewer", methods=("POST",)),
    ]
