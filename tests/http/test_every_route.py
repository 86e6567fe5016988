"""Every route of the server, tried by everybody who may not use it: no answer, and nothing of a tenant in it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor
from starlette.routing import Route
from support.keyed_site import OTHER, QUESTION, Answer, KeyedSite, keyed_site

from penstock.access.principal import ROLES
from penstock.access.routes import GuardedRoute
from penstock.audit.record import COMMAND_LINE
from penstock.knowledge.base import EVERYTHING
from penstock.traces.span import TraceFilter

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC = {
    "/health/live",
    "/health/ready",
    "/signin",
    "/signin/oidc",
    "/signin/oidc/callback",
    "/static/{version}/{name}",
    "/favicon.ico",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path_factory.mktemp("site")) as site:
        answer = await site.chat(None)
        assert answer.status == 200, answer.body
        assert await site.services.traces.flush()
        yield site


class Walk:
    """The routes, and what stands for the variable parts of their paths: things of project `local`."""

    def __init__(self, it: KeyedSite, ids: dict[str, str]) -> None:
        self.it = it
        self.ids = ids
        app = it.server.app
        assert isinstance(app, Starlette)
        self.routes = [route for route in app.routes if isinstance(route, Route)]
        assert len(self.routes) == len(app.routes) > 30
        self.guarded = [
            route for route in self.routes if isinstance(route, GuardedRoute) and route.role is not None
        ]

    def path(self, route: Route) -> str:
        values = {
            name: self.ids.get(name, "0" if isinstance(convertor, IntegerConvertor) else "x")
            for name, convertor in route.param_convertors.items()
        }
        return route.path_format.format(**values)

    async def ask(self, route: GuardedRoute, key: str | None, **headers: str) -> Answer:
        (method,) = (route.methods or set()) - {"HEAD"}
        sent = {"content-type": route.media_type} | headers
        body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
        return await self.it.ask(method, self.path(route), key, headers=sent, data=body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walk(it: KeyedSite) -> Walk:
    page = await it.services.traces.list(TraceFilter(project_id="local"))
    documents = it.services.knowledge["manuals"].documents(EVERYTHING)
    key = await it.make("a key of local", role="viewer")
    ids = {
        "trace_id": page.traces[0].id,
        "document_id": documents[0].id,
        "key_id": key.key.id,
        "project_id": "local",
        "name": "manuals",
    }
    return Walk(it, ids)


async def test_only_these_are_for_everybody(walk: Walk) -> None:
    assert {route.path_format for route in walk.routes if route not in walk.guarded} == PUBLIC


async def test_nobody_comes_in_without_a_key_that_works(walk: Walk) -> None:
    it = walk.it
    revoked, expired = await it.make("revoked", "owner"), await it.make("expired", "owner", expires_us=late(it))
    await it.access.keys.revoke(COMMAND_LINE, revoked.key.id)
    it.clock.advance(11)
    shown = {
        "none": None,
        "garbage": "pst_" + "x" * 43,
        "no key at all": "\t",
        "revoked": revoked.secret.reveal(),
        "expired": expired.secret.reveal(),
    }
    for route in walk.guarded:
        for what, key in shown.items():
            answer = await walk.ask(route, key)
            assert answer.status == 401, f"{route.path} with {what}: {answer.status}"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            refuse_content(walk, answer, route)


async def test_the_other_ways_to_show_a_key_are_no_way_around(walk: Walk) -> None:
    for route in walk.guarded:
        for headers in (
            {"x-api-key": "pst_" + "y" * 43},
            {"api-key": ""},
            {"cookie": "penstock_session=pss_" + "z" * 43},
            {"authorization": "Basic b3duZXI6b3duZXI="},
            {"x-forwarded-for": "127.0.0.1", "x-penstock-principal": "owner", "host": "localhost"},
        ):
            answer = await walk.ask(route, None, **headers)
            assert answer.status == 401, f"{route.path} with {headers}: {answer.status}"
            refuse_content(walk, answer, route)


async def test_a_role_that_is_too_small_is_told_which_is_needed(walk: Walk) -> None:
    secrets = {role: await walk.it.secret(f"as {role}", role) for role in ROLES}
    tried = 0
    for route in walk.guarded:
        assert route.role is not None
        for role in ROLES[: ROLES.index(route.role)]:
            answer = await walk.ask(route, secrets[role])
            assert answer.status == 403, f"{route.path} as {role}: {answer.status}"
            assert f"needs the role {route.role}" in answer.body
            refuse_content(walk, answer, route)
            tried += 1
    assert tried > 30


async def test_another_tenant_finds_nothing(walk: Walk) -> None:
    it = walk.it
    owner = await it.secret("owner of another", "owner", OTHER)
    before = await everything(it)
    for route in walk.guarded:
        if route.path in ("/signout",):
            continue
        answer = await walk.ask(route, owner)
        assert answer.status < 500 or answer.status == 503, f"{route.path}: {answer.status} {answer.body[:200]}"
        if route.param_convertors:
            assert not 200 <= answer.status < 300, f"{route.path}: {answer.status} {answer.body[:200]}"
        refuse_content(walk, answer, route)
    assert await everything(it) == before


async def everything(it: KeyedSite) -> object:
    traces = await it.services.traces.list(TraceFilter(project_id="local"))
    keys = it.access.keys.list(COMMAND_LINE.principal, "local")
    documents = [row.id for row in it.services.knowledge["manuals"].documents(EVERYTHING)]
    projects = it.access.projects.list(COMMAND_LINE.principal)
    return [trace.id for trace in traces.traces], [(key.id, key.revoked_us) for key in keys], documents, projects


def late(it: KeyedSite) -> int:
    return it.clock.now_us() + 10_000_000


def refuse_content(walk: Walk, answer: Answer, route: GuardedRoute) -> None:
    """What belongs to project `local` and stands in no request."""
    for secret in (QUESTION, "turbine", "hammer", "a key of local", "Francis", "gate.md"):
        assert secret not in answer.body, f"{route.path} tells {secret!r}: {answer.body[:300]}"
    for name in ("trace_id", "document_id", "key_id"):
        if f"{{{name}}}" not in route.path_format:
            assert walk.ids[name] not in answer.body, f"{route.path} tells {name}"
