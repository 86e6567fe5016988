"""The keys: making, replacing and ending them, and what is left of their limits."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.limits.values import CounterUsage
from penstock.access.principal import ROLES, at_least
from penstock.access.routes import principal_of
from penstock.access.sessions import SESSION_SECONDS
from penstock.access.store import Access
from penstock.access.values import Key, MadeKey
from penstock.clock import SYSTEM_CLOCK
from penstock.console.allowances import Allowance, of_key, of_others
from penstock.console.choices import Option, ProjectChoice, address, project_choice
from penstock.console.forms import read_form
from penstock.console.governing import access_of, actor_of, tabs
from penstock.console.key_form import LIFETIMES, WINDOWS, KeyForm
from penstock.console.query import read_query
from penstock.console.rendering import PageRoute, View, page_route, render
from penstock.console.signin import address_of, keep_session
from penstock.errors import InvalidRequest, PenstockError
from penstock.exchange import LOCAL_PROJECT, Principal, Role
from penstock.gateway.services import Services

KEYS = View("keys.html", "Keys")
KEY = View("key.html", "Keys")
OVERLAPS = {0: "ends at once", 3600: "works an hour more", 86_400: "works a day more", 604_800: "works a week more"}
SOON_US = 7 * 86_400_000_000


class KeysQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address: whose keys, and whether those that have ended are listed, too."""

    project: str = ""
    ended: bool = False


class KeyLine(Struct, frozen=True, kw_only=True):
    """One key with its bars. `state` is "" while it works; `soon` says that it ends within a week."""

    key: Key
    state: str
    soon: bool
    mine: bool
    allowances: tuple[Allowance, ...]


class MadeLine(Struct, frozen=True, kw_only=True):
    """A key that was just made, shown this once. `first` says that it switched signing in on."""

    secret: str
    name: str
    role: Role
    model: str
    origin: str
    first: bool


class KeysPage(Struct, frozen=True, kw_only=True):
    """`local` says that there is no key yet. `problem` is why the form was not taken."""

    title: str
    tabs: tuple[Option, ...]
    local: bool
    made: MadeLine | None
    form: KeyForm
    problem: str
    hint: str
    roles: tuple[Role, ...]
    lifetimes: dict[str, str]
    windows: dict[str, str]
    own_project: str
    projects: ProjectChoice
    keys: tuple[KeyLine, ...]
    ended: int
    ended_address: str
    show_ended: bool
    allowances: tuple[Allowance, ...]


class KeyPage(Struct, frozen=True, kw_only=True):
    """One key. `children` are those that were made with it and still work; `may_end` whether this principal may."""

    title: str
    line: KeyLine
    made: MadeLine | None
    parent: Key | None
    children: tuple[Key, ...]
    may_end: bool
    overlaps: dict[int, str]
    problem: str
    hint: str


class RotateForm(Struct, frozen=True, kw_only=True):
    overlap: float = 86_400.0


class RevokeForm(Struct, frozen=True, kw_only=True):
    """`children` is "on" where those that were made with it shall end, too."""

    children: str = ""


async def show(request: Request) -> Response:
    return await keys_page(request, KeyForm(role=first_role(access_of(request))))


async def create(request: Request) -> Response:
    access = access_of(request)
    first = not access.keys.required
    form = await read_form(request, KeyForm)
    try:
        if first and (form.role != "owner" or form.project not in ("", LOCAL_PROJECT)):
            raise InvalidRequest(
                "The first key is the owner's: without one, nobody could make further keys here.",
                hint="Choose the role owner; make the others after it.",
            )
        made = await access.keys.create(actor_of(request), form.new_key(SYSTEM_CLOCK.now_us()))
    except PenstockError as error:
        answer = await keys_page(request, form, problem=error)
        answer.status_code = error.status
        return answer
    if not first:
        return await keys_page(request, KeyForm(), made=made_line(request, made, first=False))
    cookie, principal = await access.sessions.sign_in(made.secret.reveal().encode(), address_of(request))
    request.scope["principal"] = principal
    answer = await keys_page(request, KeyForm(), made=made_line(request, made, first=True))
    keep_session(answer, request, cookie, seconds=SESSION_SECONDS)
    return answer


async def keys_page(
    request: Request, form: KeyForm, *, made: MadeLine | None = None, problem: PenstockError | None = None
) -> Response:
    access, principal = access_of(request), principal_of(request)
    query = read_query(request, KeysQuery)
    projects = project_choice(request, query.project)
    usage = await usage_of(request, projects.seen)
    now = SYSTEM_CLOCK.now_us()
    every = [key_line(key, principal, usage, now) for key in access.keys.list(principal, projects.seen)]
    page = KeysPage(
        title="Keys",
        tabs=tabs(request, "Keys"),
        local=not access.keys.required,
        made=made,
        form=form,
        problem=problem.message if problem else "",
        hint=problem.hint if problem else "",
        roles=tuple(role for role in ROLES if at_least(principal, role)),
        lifetimes=LIFETIMES,
        windows=WINDOWS,
        own_project=principal.project_id,
        projects=projects,
        keys=tuple(line for line in every if query.ended or not line.state),
        ended=sum(bool(line.state) for line in every),
        ended_address=address("/keys", project=query.project, ended="" if query.ended else "true"),
        show_ended=query.ended,
        allowances=tuple(of_others(usage)),
    )
    return render(request, KEYS, page)


async def show_one(request: Request) -> Response:
    return await key_page(request, request.path_params["key_id"])


async def rotate(request: Request) -> Response:
    key_id = request.path_params["key_id"]
    form = await read_form(request, RotateForm)
    try:
        made = await access_of(request).keys.rotate(actor_of(request), key_id, form.overlap)
    except PenstockError as error:
        return await key_page(request, key_id, problem=error)
    return await key_page(request, made.key.id, made=made_line(request, made, first=False))


async def revoke(request: Request) -> Response:
    key_id = request.path_params["key_id"]
    form = await read_form(request, RevokeForm)
    try:
        await access_of(request).keys.revoke(actor_of(request), key_id, children_too=form.children == "on")
    except PenstockError as error:
        return await key_page(request, key_id, problem=error)
    return RedirectResponse("/keys", 303)


async def key_page(
    request: Request, key_id: str, *, made: MadeLine | None = None, problem: PenstockError | None = None
) -> Response:
    access, principal = access_of(request), principal_of(request)
    key = access.keys.get(principal, key_id)
    usage = await usage_of(request, key.project_id)
    now = SYSTEM_CLOCK.now_us()
    line = key_line(key, principal, usage, now)
    family = access.keys.list(principal, key.project_id)
    page = KeyPage(
        title=key.name,
        line=line,
        made=made,
        parent=access.keys.find(key.parent_id) if key.parent_id else None,
        children=tuple(each for each in family if each.parent_id == key.id and not state_of(each, now)),
        may_end=key.source == "made" and not line.state and at_least(principal, key.role),
        overlaps=OVERLAPS,
        problem=problem.message if problem else "",
        hint=problem.hint if problem else "",
    )
    answer = render(request, KEY, page)
    if problem is not None:
        answer.status_code = problem.status
    return answer


async def usage_of(request: Request, project_id: str | None) -> Sequence[CounterUsage]:
    services: Services = request.app.state.services
    return [] if services.limits is None else await services.limits.usage(project_id)


def key_line(key: Key, principal: Principal, usage: Sequence[CounterUsage], now_us: int) -> KeyLine:
    state = state_of(key, now_us)
    return KeyLine(
        key=key,
        state=state,
        soon=not state and key.expires_us is not None and key.expires_us - now_us < SOON_US,
        mine=key.id == principal.key_id,
        allowances=tuple(of_key(key, usage)),
    )


def state_of(key: Key, now_us: int) -> str:
    """Why a key does not work any more; "" while it does."""
    if key.revoked_us is not None:
        return "revoked"
    return "expired" if key.expires_us is not None and key.expires_us <= now_us else ""


def made_line(request: Request, made: MadeKey, *, first: bool) -> MadeLine:
    services: Services = request.app.state.services
    owner = Principal(project_id=made.key.project_id, role=made.key.role, models=made.key.models)
    able = (each.name for each in services.registry.open_to(owner) if "chat" in each.operations)
    return MadeLine(
        secret=made.secret.reveal(),
        name=made.key.name,
        role=made.key.role,
        model=next(able, ""),
        origin=f"{request.url.scheme}://{request.url.netloc}",
        first=first,
    )


def first_role(access: Access) -> Role:
    return "developer" if access.keys.required else "owner"


def routes() -> list[BaseRoute]:
    one = "/keys/{key_id}"
    return [
        page_route("/keys", show, role="admin"),
        PageRoute("/keys", create, role="admin", methods=("POST",)),
        page_route(one, show_one, role="admin"),
        PageRoute(f"{one}/rotate", rotate, role="admin", methods=("POST",)),
        PageRoute(f"{one}/revoke", revoke, role="admin", methods=("POST",)),
    ]
