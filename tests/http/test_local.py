"""No web page but our own may use a server in local mode: every route is tried with what a page can send."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from support.gateway_site import Site, site

from penstock.access.routes import GuardedRoute
from penstock.http.local import loopback_port
from penstock.http.routes import UPLOAD_TYPE, ApiRoute, Description

pytestmark = pytest.mark.asyncio(loop_scope="module")

HI = b'{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}'


async def page(request: Request) -> Response:
    return HTMLResponse("<p>hello</p>")


async def upload(request: Request) -> Response:
    return Response(f"{len(await request.body())}")


ROUTES = [
    GuardedRoute("/page", page, role="viewer"),
    ApiRoute("POST", "/api/v1/files/{name}", upload, Description(summary="Takes a file.", upload=True)),
]


FORMS = (
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/files",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("site"), routes=ROUTES) as it:
        yield it


def every_route(it: Site) -> list[tuple[str, str]]:
    """Every method of every path that the server has, with something in place of what varies."""
    app = it.server.app
    assert isinstance(app, Starlette)
    found = [
        (method, route.path_format.replace("{", "").replace("}", ""))
        for route in app.routes
        if isinstance(route, Route)
        for method in sorted(route.methods or ())
    ]
    assert len(found) > 15
    return found


async def ask(it: Site, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> int:
    async with it.session.request(method, it.url + path, headers=headers, data=body) as response:
        await response.read()
        return response.status


async def code_of(it: Site, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> str:
    async with it.session.request(method, it.url + path, headers=headers, data=body) as response:
        return "" if method == "HEAD" else str((await response.json())["error"]["code"])


async def test_every_route_refuses_another_host(guarded: Site) -> None:
    """DNS rebinding: a page whose own name resolves to this machine."""
    port = guarded.server.port
    hosts = ["evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"]
    hosts += ["0.0.0.0", "127.0.0.1@evil.example", "[::2]", "localhost.", "", "127.0.0.1 evil.example"]
    for method, path in every_route(guarded):
        for host in hosts:
            assert await ask(guarded, method, path, {"host": host}) == 403, (method, path, host)


async def test_every_route_refuses_pages_of_other_origins(guarded: Site) -> None:
    port = guarded.server.port
    origins = ["https://evil.example", "null", f"http://evil.example:{port}", "http://localhost:3000", "file://"]
    origins += [f"https://127.0.0.1:{port}", "http://127.0.0.1", f"http://127.0.0.1:{port}@evil.example"]
    for method, path in every_route(guarded):
        for origin in origins:
            headers = {"origin": origin, "content-type": "application/json"}
            assert await ask(guarded, method, path, headers) == 403, (method, path, origin)
            assert await code_of(guarded, method, path, headers) in ("forbidden", "")


async def test_every_route_refuses_what_other_sites_fetch(guarded: Site) -> None:
    """An image, a script or a frame of another site sends no Origin, but it says where it is."""
    for method, path in every_route(guarded):
        for where in ("cross-site", "same-site"):
            headers = {"sec-fetch-site": where, "sec-fetch-mode": "no-cors"}
            assert await ask(guarded, method, path, headers) == 403, (method, path)
    assert await ask(guarded, "GET", "/page", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}) == 200
    assert await ask(guarded, "GET", "/page", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}) == 200


@pytest.mark.parametrize(
    "declared",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"],
)
async def test_every_route_that_changes_something_wants_json(guarded: Site, declared: str) -> None:
    """These are the types that a page of another origin can send without being asked first."""
    for method, path in every_route(guarded):
        if method not in ("GET", "HEAD") and not (path in FORMS and declared.startswith("multipart/form-data")):
            status = await ask(guarded, method, path, {"content-type": declared}, HI)
            assert status == 415, (method, path)
            assert await code_of(guarded, method, path, {"content-type": declared}, HI) == "unsupported_media_type"


async def test_a_form_of_another_origin_is_refused(guarded: Site) -> None:
    """A page can send a form without being asked first, but not without saying where it comes from."""
    declared = {"content-type": "multipart/form-data; boundary=x"}
    for path in FORMS:
        for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            assert await ask(guarded, "POST", path, declared | headers, HI) == 403, (path, headers)


async def test_the_message_says_what_to_send(guarded: Site) -> None:
    _, answer, _ = await guarded.post("/v1/chat/completions", HI, headers={"content-type": "text/plain"})
    assert answer["error"]["message"] == (
        "The body is declared as 'text/plain', and /v1/chat/completions takes application/json. "
        "Send the header 'Content-Type: application/json'."
    )
    _, answer, _ = await guarded.post("/api/v1/files/a", b"x", headers={"content-type": "application/json"})
    assert answer["error"]["message"].endswith("Send the header 'Content-Type: application/octet-stream'.")
    _, answer, _ = await guarded.get("/page", host="evil.example")
    assert answer["error"]["message"] == (
        "The request is for host 'evil.example', and in local mode only this machine is served. "
        "Use http://127.0.0.1 or http://localhost with the server's port."
    )


async def test_programs_and_our_own_pages_are_served(guarded: Site) -> None:
    port = guarded.server.port
    json = {"content-type": "application/json; charset=utf-8"}
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "127.0.0.2:99"):
        assert await ask(guarded, "POST", "/v1/chat/completions", json | {"host": host}, HI) == 200
    for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        headers = json | {"origin": origin, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
        assert await ask(guarded, "POST", "/v1/chat/completions", headers, HI) == 200


async def test_a_file_is_taken_by_upload_routes_only(guarded: Site) -> None:
    assert await ask(guarded, "POST", "/api/v1/files/a", {"content-type": UPLOAD_TYPE}, b"x" * 1000) == 200
    assert await ask(guarded, "POST", "/v1/chat/completions", {"content-type": UPLOAD_TYPE}, HI) == 415


async def test_no_page_may_read_answers_or_put_ours_in_a_frame(guarded: Site) -> None:
    _, _, headers = await guarded.get("/page")
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    _, _, headers = await guarded.get("/v1/models", origin=guarded.url)
    assert "access-control-allow-origin" not in headers


async def test_two_host_headers_are_refused(guarded: Site) -> None:
    request = b"GET /page HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    assert b"The request has 2 Host headers." in await raw(guarded, request)
    assert b"The request has 0 Host headers." in await raw(guarded, b"GET /page HTTP/1.0\r\n\r\n")


async def raw(it: Site, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("host", "port"),
    [
        (b"127.0.0.1:7100", 7100),
        (b"localhost", 80),
        (b"[::1]:1", 1),
        (b"[::1]", 80),
        (b"127.255.255.254", 80),
        (b"127.0.0.1:x", None),
        (b"127.0.0.1:99999", None),
        (b"127.0.0.1/path", None),
        (b"user@127.0.0.1", None),
        (b"@127.0.0.1", None),
        (b"127.0.0.1#a", None),
        (b"2130706433", None),
        (b"0x7f.0.0.1", None),
        (b"\tlocalhost", None),
        (b"localhost\xff", None),
        (b"", None),
    ],
)
async def test_which_hosts_are_this_machine(host: bytes, port: int | None) -> None:
    assert loopback_port(host) == port
