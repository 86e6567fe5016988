"""Keys in a real browser: the first switches signing in on and signs in; made, used, rotated and revoked."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from support.browser import OpenPage, Site, WatchedPage
from support.gateway_console import open_gateway
from test_gateway_pages import AUDIT, asked

from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("keys")
    site = Site(folder, open_gateway(folder))
    yield site
    site.close()


def secret_of(page: Page) -> str:
    return page.locator("#secret").inner_text()


def first_key(opened: WatchedPage) -> str:
    page = opened.page
    page.get_by_label("Name").fill("ops")
    page.get_by_role("button", name="Make the key and sign in").click()
    expect(page.get_by_role("heading", name="The first key is made, and you are signed in with it")).to_be_visible()
    return secret_of(page)


def sign_in(opened: WatchedPage, secret: str) -> Page:
    opened.page.get_by_label("Key").fill(secret)
    opened.page.get_by_role("button", name="Sign in").click()
    expect(opened.page.get_by_role("button", name="Sign out")).to_be_visible()
    return opened.page


def test_the_first_key_locks_nobody_out(site: Site, open_page: OpenPage) -> None:
    assert asked(site, "small") == 200
    opened = open_page("/keys")
    expect(opened.page.get_by_text("This server is in local mode")).to_be_visible()
    secret = first_key(opened)
    assert asked(site, "small") == 401
    assert asked(site, "small", secret) == 200
    page = opened.page
    expect(page.get_by_text("Signed in with the key ops")).to_be_visible()
    expect(page.get_by_text("Local mode")).to_have_count(0)
    assert page.evaluate(AUDIT) == []
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)
    expect(page.locator("table.keys tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    sign_in(opened, secret)


def test_a_key_is_made_used_rotated_and_revoked(site: Site, open_page: OpenPage) -> None:
    opened = open_page("/keys")
    first_key(opened)
    page = opened.page
    page.get_by_role("heading", name="Make a key").click()
    page.get_by_label("Name").fill("web-app")
    page.get_by_label("Models", exact=True).fill("small")
    page.get_by_label("Dollars", exact=True).fill("5")
    page.get_by_label("Requests", exact=True).fill("2")
    page.get_by_label("Requests in").select_option("day")
    page.get_by_role("button", name="Make the key", exact=True).click()
    secret = secret_of(page)
    assert asked(site, "small", secret) == 200
    assert asked(site, "chat", secret) == 404
    assert asked(site, "small", secret) == 200
    assert asked(site, "small", secret) == 429
    page.goto(f"{site.url}/keys")
    row = page.get_by_role("row").filter(has_text="web-app")
    expect(row).to_contain_text("2 of 2 requests today")
    expect(row).to_contain_text(re.compile(r"of \$5\.00 this month"))
    row.get_by_role("link", name="web-app").click()
    page.get_by_role("heading", name="Rotate").click()
    page.get_by_label("The old key").select_option("0")
    page.get_by_role("button", name="Rotate web-app").click()
    successor = secret_of(page)
    assert successor != secret
    assert asked(site, "small", secret) == 401
    page.get_by_role("heading", name="Revoke").click()
    page.get_by_role("button", name="Revoke web-app").click()
    page.wait_for_url("**/keys")
    assert asked(site, "small", successor) == 401
    expect(page.get_by_role("row").filter(has_text="web-app")).to_have_count(0)
    page.get_by_role("link", name="Audit records").click()
    expect(page.get_by_role("row").filter(has_text="key.revoked")).to_have_count(1)
    assert secret not in page.content() and successor not in page.content()


def test_a_wrong_form_is_kept_and_says_what_is_wrong(site: Site, open_page: OpenPage) -> None:
    opened = open_page("/keys")
    opened.watch.expected.append("400")
    first_key(opened)
    page = opened.page
    page.get_by_role("heading", name="Make a key").click()
    page.get_by_label("Name").fill("<b>lab</b>")
    page.get_by_label("Dollars", exact=True).fill("much")
    page.get_by_role("button", name="Make the key", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("'much' is not a limit of usd.")
    expect(page.get_by_label("Name")).to_have_value("<b>lab</b>")
    page.get_by_label("Dollars", exact=True).fill("-3")
    page.get_by_role("button", name="Make the key", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The limit of usd cannot be taken")
    page.get_by_label("Dollars", exact=True).fill("")
    page.get_by_role("button", name="Make the key", exact=True).click()
    expect(page.get_by_role("heading", name="The key <b>lab</b> is made")).to_be_visible()


def test_another_tenant_sees_its_own_and_nothing_else(site: Site, open_page: OpenPage) -> None:
    owner = open_page("/keys")
    first_key(owner)
    page = owner.page
    page.get_by_role("link", name="Projects").click()
    page.get_by_label("Id of a new project").fill("team-b")
    page.get_by_role("button", name="Make the project").click()
    expect(page.get_by_role("row").filter(has_text="team-b")).to_contain_text("open")
    access = site.services.access
    assert access is not None
    made = site.do(access.keys.create(COMMAND_LINE, NewKey(name="theirs", role="owner", project_id="team-b")))
    mine = site.do(access.keys.create(COMMAND_LINE, NewKey(name="secret-lab")))
    assert asked(site, "small", mine.secret.reveal()) == 200
    opened = open_page("/overview")
    opened.watch.expected += ["403", "404"]
    theirs = sign_in(opened, made.secret.reveal())
    for path in ("/overview", "/costs", "/keys", "/models", "/audit", "/traces", "/costs?by=key"):
        theirs.goto(site.url + path)
        expect(theirs.locator("h1")).to_be_visible()
        for hidden in ("secret-lab", mine.key.id, "openai/gpt-4.1-mini", "lowest latency"):
            assert hidden not in theirs.locator("main").inner_text(), f"{hidden} on {path}"
    theirs.goto(f"{site.url}/overview")
    expect(theirs.get_by_role("heading", name="No calls in the last hour")).to_be_visible()
    for path, what in (
        (f"/keys/{mine.key.id}", "There is no key"),
        ("/overview?project=local", "not yours to see"),
        ("/costs?project=local", "not yours to see"),
        ("/audit?project=local", "not yours to see"),
        ("/projects", "needs an owner of this server"),
    ):
        theirs.goto(site.url + path)
        expect(theirs.get_by_role("alert")).to_contain_text(what)
        assert "secret-lab" not in theirs.content()
    page.goto(f"{site.url}/overview?project=local")
    expect(page.locator(".tile-value").first).to_have_text("1")
