"""One browser and one site for each file of tests."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.browser import DESKTOP, FLAGS, OpenPage, Site, Watch, WatchedPage
from support.console_site import open_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per test file: Playwright keeps a loop running, which tests of other files must not meet."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed; `apt-get install chromium` lets the browser tests run")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder, open_site(folder))
    yield site
    site.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[OpenPage]:
    """Opens an address of the site, with options of a context; what went wrong there fails the test at its end."""
    contexts: list[tuple[BrowserContext, Watch]] = []

    def open_page(path: str = "/", **options: Any) -> WatchedPage:
        context = browser.new_context(**{**DESKTOP, **options}, locale="en-GB", timezone_id="Europe/Zurich")
        context.set_default_timeout(10_000)
        watch = Watch(context)
        contexts.append((context, watch))
        page = context.new_page()
        page.goto(site.url + path)
        return WatchedPage(page, watch)

    yield open_page
    problems = [problem for _, watch in contexts for problem in watch.problems]
    for context, _ in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The chat page on a desktop."""
    return open_page("/").page
