"""Signing in to the console: what a browser gets, keeps and is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.keyed_site import OTHER, Answer, KeyedSite, keyed_site

from penstock.audit.record import COMMAND_LINE
from penstock.console.signin import own_page

PAGE = {"accept": "text/html,application/xhtml+xml"}


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path) as site:
        yield site


async def sign_in(it: KeyedSite, key: str, to: str = "", **headers: str) -> Answer:
    own = {"origin": it.url, "sec-fetch-site": "same-origin"}
    return await it.ask("POST", "/signin", data={"key": key, "to": to}, headers=own | headers)


async def signed_in(it: KeyedSite, role: str, project: str = "local") -> dict[str, str]:
    """The headers of a browser that is signed in."""
    answer = await sign_in(it, await it.secret(f"{role} of {project}", role, project))  # type: ignore[arg-type]
    assert answer.status == 303, answer.body
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]} | PAGE


async def test_in_local_mode_nobody_signs_in(it: KeyedSite) -> None:
    page = await it.ask("GET", "/signin", headers=PAGE)
    assert (page.status, page.headers["location"]) == (303, "/")
    assert "Local mode" in (await it.ask("GET", "/traces", headers=PAGE)).body


async def test_a_page_leads_to_the_sign_in_page_and_back(it: KeyedSite) -> None:
    secret = await it.secret("ada", "viewer")
    away = await it.ask("GET", "/traces?status=error&text=a%26b", headers=PAGE)
    assert away.status == 303
    form = await it.ask("GET", away.headers["location"], headers=PAGE)
    assert form.status == 200 and 'type="password"' in form.body
    assert 'value="/traces?status=error&amp;text=a%26b"' in form.body
    assert 'href="/knowledge"' not in form.body, "the bar shows nothing before signing in"
    back = await sign_in(it, secret, "/traces?status=error&text=a%26b")
    assert (back.status, back.headers["location"]) == (303, "/traces?status=error&text=a%26b")
    cookie = back.headers["set-cookie"]
    for flag in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert flag in cookie
    assert "Secure" not in cookie and secret not in cookie
    shown = await it.ask("GET", "/traces", headers={"cookie": cookie.partition(";")[0]} | PAGE)
    assert shown.status == 200
    assert "Signed in with the key <strong>ada</strong>: viewer of project local" in shown.body
    assert "Local mode" not in shown.body


async def test_a_wrong_key_is_said_and_counted(it: KeyedSite) -> None:
    await it.secret("ada")
    for _ in range(10):
        answer = await sign_in(it, "<script>alert(1)</script>")
        assert answer.status == 401 and "The key is not valid" in answer.body
        assert "set-cookie" not in answer.headers and "alert(1)" not in answer.body
    limited = await sign_in(it, "again")
    assert limited.status == 429 and int(limited.headers["retry-after"]) >= 1


async def test_pages_are_for_who_has_the_role(it: KeyedSite) -> None:
    viewer, developer = await signed_in(it, "viewer"), await signed_in(it, "developer")
    refused = await it.ask("GET", "/", headers=viewer)
    assert refused.status == 403 and "needs the role developer" in refused.body and "<html" in refused.body
    assert (await it.ask("GET", "/", headers=developer)).status == 200
    assert 'href="/">Chat' not in (await it.ask("GET", "/traces", headers=viewer)).body


async def test_another_tenant_sees_its_own_pages(it: KeyedSite) -> None:
    theirs = await signed_in(it, "owner", OTHER)
    for path in ("/traces", "/knowledge", "/"):
        page = await it.ask("GET", path, headers=theirs)
        assert page.status == 200
        assert "turbine" not in page.body and "plant (" not in page.body
    assert (await it.ask("GET", "/knowledge/manuals", headers=theirs)).status == 404


async def test_pages_of_other_sites_do_nothing_in_a_visitor_s_name(it: KeyedSite) -> None:
    cookie = await signed_in(it, "owner")
    body = {"name": "stolen", "role": "owner"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": it.url},
    ):
        answer = await it.ask("POST", "/api/v1/keys", json=body, headers=cookie | headers)
        assert answer.status == 403, headers
    form = await it.ask("POST", "/api/v1/keys", data=body, headers=cookie | {"origin": it.url})
    assert form.status == 415
    own = await it.ask("POST", "/api/v1/keys", json=body, headers=cookie | {"origin": it.url})
    assert own.status == 201


async def test_nobody_is_signed_in_by_another_site(it: KeyedSite) -> None:
    secret = await it.secret("mallory")
    assert (await sign_in(it, secret, origin="https://evil.example")).status == 403


async def test_signing_out_ends_the_session(it: KeyedSite) -> None:
    cookie = await signed_in(it, "viewer")
    out = await it.ask("POST", "/signout", headers=cookie | {"origin": it.url}, data={"x": "1"})
    assert (out.status, out.headers["location"]) == (303, "/signin")
    assert 'penstock_session=""' in out.headers["set-cookie"]
    assert (await it.ask("GET", "/traces", headers=cookie)).status == 303


async def test_a_session_ends_with_its_key(it: KeyedSite) -> None:
    made = await it.make("ada", "viewer")
    answer = await sign_in(it, made.secret.reveal())
    cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert (await it.ask("GET", "/api/v1/whoami", headers=cookie)).json["name"] == "ada"
    await it.access.keys.revoke(COMMAND_LINE, made.key.id)
    assert (await it.ask("GET", "/api/v1/whoami", headers=cookie)).status == 401
    htmx = await it.ask("GET", "/traces", headers=cookie | PAGE | {"hx-request": "true"})
    assert (htmx.status, htmx.headers["hx-redirect"]) == (401, "/signin")


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        ("/traces?x=1", "/traces?x=1"),
        ("//evil.example", ""),
        ("/\\evil.example", ""),
        ("https://evil.example", ""),
        ("javascript:alert(1)", ""),
        ("/signin", ""),
        ("/\t/evil.example", ""),
        ("//[", ""),
        ("", ""),
    ],
)
def test_only_own_pages_are_led_to(to: str, kept: str) -> None:
    assert own_page(to) == kept
