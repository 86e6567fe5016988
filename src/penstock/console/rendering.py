"""Pages from templates: one environment, one set of headers, and a block of the same template for htmx."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from penstock.access.principal import at_least, is_person
from penstock.access.routes import GuardedRoute
from penstock.console import formats
from penstock.console.assets import ASSETS
from penstock.errors import PenstockError
from penstock.exchange import Principal, Role
from penstock.gateway.services import Services

Handler = Callable[[Request], Awaitable[Response]]
FORM_TYPE = "application/x-www-form-urlencoded"

TEMPLATES = Path(__file__).parent / "templates"
HEADERS = {"Cache-Control": "no-store", "Vary": "HX-Request"}
"""The content security policy and its like are the server's, for whatever is a page."""


class Section(Struct, frozen=True):
    """One entry of the bar on top, for who has the role."""

    name: str
    href: str
    role: Role = "viewer"


TRACES, KNOWLEDGE = Section("Traces", "/traces"), Section("Knowledge", "/knowledge")
OVERVIEW, MODELS, COSTS = Section("Overview", "/overview"), Section("Models", "/models"), Section("Costs", "/costs")
KEYS = Section("Keys", "/keys", "admin")
OF_APPS = (Section("Chat", "/", "developer"), TRACES, KNOWLEDGE, OVERVIEW, MODELS, COSTS, KEYS)
OF_GATEWAYS = (OVERVIEW, MODELS, TRACES, COSTS, KEYS, Section("Chat", "/chat", "developer"))
"""An app is there to be asked, a gateway to be watched: what comes first is where one begins."""


class Shell(Struct, frozen=True, kw_only=True):
    """What the frame around every page shows; `section` is "" where no entry of the bar is current.

    `home` is where the name leads, the first of the `sections`. `principal` is who looks at it, `None` before
    signing in; `keyed` whether signing in is needed at all.
    """

    app: str
    section: str
    sections: tuple[Section, ...]
    home: str
    principal: Principal | None
    keyed: bool

    @property
    def by_account(self) -> bool:
        """Whether somebody signed in with an account, not with a key."""
        return self.principal is not None and is_person(self.principal)


class ErrorPage(Struct, frozen=True, kw_only=True):
    """A page that could not be made, and what to do about it."""

    title: str
    status: int
    message: str
    hint: str


def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = ASSETS.address
    for filter_ in (
        formats.duration,
        formats.count,
        formats.size,
        formats.cost,
        formats.money,
        formats.compact,
        formats.rate,
        formats.share,
        formats.seconds,
        formats.score,
        formats.percent,
        formats.moment,
        formats.plain_moment,
        formats.words,
    ):
        made.filters[f"as_{filter_.__name__}"] = filter_
    made.globals["parts"] = made.get_template("_parts.html").module
    return made


ENVIRONMENT = environment()


class View(Struct, frozen=True):
    """A template, the section that it belongs to, and the block of it that htmx requests get ("" for none)."""

    template: str
    section: str
    block: str = ""


def render(request: Request, view: View, page: Struct, headers: Mapping[str, str] | None = None) -> Response:
    """The page, or its block where htmx asks."""
    services: Services = request.app.state.services
    principal: Principal | None = request.scope.get("principal")
    shown = sections(services, principal)
    shell = Shell(
        app=services.app_name,
        section=view.section,
        sections=shown,
        home=shown[0].href if shown else "/",
        principal=principal,
        keyed=services.access is not None and services.access.keys.required,
    )
    template = ENVIRONMENT.get_template(view.template)
    context = template.new_context({"page": page, "shell": shell})
    if view.block and is_partial(request):
        html = "".join(template.blocks[view.block](context))
    else:
        html = "".join(template.root_render_func(context))
    return HTMLResponse(html, headers={**HEADERS, **(headers or {})})


def sections(services: Services, principal: Principal | None) -> tuple[Section, ...]:
    """The bar on top: what the server is for comes first, and nothing that the principal may not see."""
    every = OF_APPS if services.knowledge else OF_GATEWAYS
    return tuple(each for each in every if principal is not None and at_least(principal, each.role))


def history(address: str, *, is_new: bool) -> dict[str, str]:
    """Tells htmx which address the part that it fills belongs to, and whether going back should pass it."""
    return {"HX-Push-Url" if is_new else "HX-Replace-Url": address}


def is_partial(request: Request) -> bool:
    """Whether htmx asks for a part of the page; going back in the browser's history needs the whole one."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


class PageRoute(GuardedRoute):
    """A page; an error on the way becomes a page (or a block) that says what happened and what to do."""

    def __init__(
        self, path: str, handler: Handler, *, role: Role | None, methods: tuple[str, ...] = ("GET",)
    ) -> None:
        @functools.wraps(handler)
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except PenstockError as error:
                return render_error(request, error)

        super().__init__(path, guarded, role=role, methods=methods, media_type=FORM_TYPE)

    async def refuse(self, error: PenstockError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("principal") is None:
            raise error
        await render_error(Request(scope, receive), error)(scope, receive, send)


def page_route(path: str, handler: Handler, *, role: Role = "viewer") -> PageRoute:
    return PageRoute(path, handler, role=role)


def render_error(request: Request, error: PenstockError) -> Response:
    page = ErrorPage(
        title=error.code.replace("_", " ").capitalize(),
        status=error.status,
        message=error.message,
        hint=error.hint,
    )
    answer = render(request, View("error.html", "", "problem"), page)
    answer.status_code = error.status
    return answer
