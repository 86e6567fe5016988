"""Signing in with an account in a real browser: the issuer is another site, whose redirect brings no cookies."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.browser import OpenPage, Site
from support.console_site import open_site
from support.oidc_issuer import CLIENT, SECRET, OidcIssuer, oidc_issuer

from penstock.access.store import Access
from penstock.config.oidc import OidcSettings
from penstock.gateway.services import Services


class AccountSite:
    """A site whose issuer is at `localhost`, and so another site than `127.0.0.1` for a browser."""

    def __init__(self) -> None:
        self.issuer = OidcIssuer()

    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Services]:
        access = Access.open(folder, folder)
        async with oidc_issuer("localhost") as self.issuer, open_site(folder) as services:
            rules = [{"claim": "groups", "values": ["staff"], "role": "developer"}]
            secret = {"env": "OIDC_SECRET"}
            table = {"issuer": self.issuer.url, "client_id": CLIENT, "client_secret": secret, "roles": rules}
            access.trust(OidcSettings.model_validate(table))
            yield dataclasses.replace(services, access=access)
        await access.close()


ACCOUNTS = AccountSite()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_SECRET", SECRET)
        folder = tmp_path_factory.mktemp("site")
        site = Site(folder, ACCOUNTS.open(folder))
        yield site
        site.close()


def test_a_browser_signs_in_at_the_issuer_and_lands_on_the_page_it_wanted(site: Site, open_page: OpenPage) -> None:
    ACCOUNTS.issuer.redirects.add(f"{site.url}/signin/oidc/callback")
    opened = open_page("/traces?status=error")
    page = opened.page
    opened.watch.expected.append("http://localhost:")
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.wait_for_url("**/traces?status=error")
    expect(page.get_by_text("Signed in as ada@example.com")).to_be_visible()
    assert [cookie["name"] for cookie in page.context.cookies(site.url)] == ["penstock_session"]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin")
    page.goto(f"{site.url}/traces")
    expect(page.get_by_label("Key")).to_be_visible()
