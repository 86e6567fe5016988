"""The pictures of a gateway for the docs: `make screenshots`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.browser import OpenPage, Site
from support.gateway_console import open_busy_gateway
from test_gateway_pages import asked
from test_screenshots import picture, pytestmark  # noqa: F401

from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.config.limits import LimitSettings
from penstock.gateway.services import Services


def limit(**fields: object) -> LimitSettings:
    return LimitSettings.model_validate({"per": "key", **fields})


WANTED = (
    NewKey(name="ops", role="owner"),
    NewKey(
        name="web-app",
        models=("chat", "small"),
        limits=(limit(requests=20, window="day"), limit(usd=50, window="month")),
    ),
    NewKey(name="search", project_id="team-a", limits=(limit(tokens=2_000_000, window="day"),)),
    NewKey(name="nightly", project_id="team-a", models=("small",), limits=(limit(requests=4, window="1h"),)),
    NewKey(name="grace", project_id="team-a", role="viewer"),
)


@asynccontextmanager
async def with_keys(folder: Path) -> AsyncIterator[Services]:
    async with open_busy_gateway(folder) as services:
        assert services.access is not None
        await services.access.projects.create(COMMAND_LINE, "team-a", "Team A")
        yield services


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pictures")
    site = Site(folder, with_keys(folder))
    yield site
    site.close()


def test_screenshot_of_the_overview(open_page: OpenPage) -> None:
    page = open_page("/overview").page
    expect(page.locator(".chart canvas")).to_have_count(6)
    picture(page, "overview")


def test_screenshot_of_the_costs(open_page: OpenPage) -> None:
    page = open_page("/costs").page
    expect(page.locator(".chart canvas")).to_have_count(1)
    picture(page, "costs")


def test_screenshot_of_the_keys(site: Site, open_page: OpenPage) -> None:
    access = site.services.access
    assert access is not None
    made = {key.name: site.do(access.keys.create(COMMAND_LINE, key)).secret.reveal() for key in WANTED}
    for name, model, times in (("web-app", "chat", 17), ("search", "chat", 3), ("nightly", "small", 2)):
        assert [asked(site, model, made[name]) for _ in range(times)].count(200) > 0
    page = open_page("/keys").page
    page.get_by_label("Key").fill(made["ops"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("row").filter(has_text="web-app")).to_contain_text("requests today")
    picture(page, "keys")
