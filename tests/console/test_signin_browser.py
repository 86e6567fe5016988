"""Signing in with a real browser: its own rules about origins and cookies let it in, and it can work."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.browser import OpenPage, Site, ask
from support.console_site import open_site

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.gateway.services import Services


@asynccontextmanager
async def open_keyed_site(folder: Path) -> AsyncIterator[Services]:
    access = Access.open(folder, folder)
    async with open_site(folder) as services:
        yield dataclasses.replace(services, access=access)
    await access.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder, open_keyed_site(folder))
    yield site
    site.close()


def test_a_browser_signs_in_asks_and_signs_out(site: Site, open_page: OpenPage) -> None:
    access = site.services.access
    assert access is not None
    made = site.do(access.keys.create(COMMAND_LINE, NewKey(name="ada")))
    opened = open_page("/traces")
    page = opened.page
    opened.watch.expected.append("401")
    expect(page.get_by_role("heading", name="Sign in to plant")).to_be_visible()
    page.get_by_label("Key").fill("pst_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The key is not valid")
    page.get_by_label("Key").fill(made.secret.reveal())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/traces")
    expect(page.get_by_text("Signed in with the key ada")).to_be_visible()
    page.get_by_role("link", name="Chat").click()
    ask(page, "How is the gate closed?")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    expect(page.get_by_text("Local mode")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin")
    page.goto(f"{site.url}/traces")
    expect(page.get_by_label("Key")).to_be_visible()
