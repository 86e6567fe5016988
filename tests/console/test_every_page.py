"""What holds on every page: readable contrast, names for everything, headings in order, any width, no script."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.browser import PHONE, OpenPage, Site, ask, traces

from penstock.knowledge.base import EVERYTHING

AUDIT = (Path(__file__).parents[1] / "support" / "audit.js").read_text()
PAGES = ("/", "/traces", "/traces/ID", "/knowledge/manuals", "/knowledge/manuals/DOCUMENT")
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
}


@pytest.fixture(scope="module")
def addresses(site: Site) -> dict[str, str]:
    site.complete("please write how the gate is closed")
    trace = traces(site)[0]
    document = next(
        row for row in site.services.knowledge["manuals"].documents(EVERYTHING) if row.path == "guide/gate.md"
    )
    return {
        path: path.replace("ID", trace.id).replace("DOCUMENT", f"{document.id}?start=20&end=90") for path in PAGES
    }


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_pages_are_accessible(open_page: OpenPage, addresses: dict[str, str], path: str, look: str) -> None:
    page = open_page(addresses[path], **LOOKS[look]).page
    if path == "/":
        ask(page, "please write how to close the gate")
        ask(page, "is the wheel turned clockwise?")
        ask(page, "nobody knows the price")
        ask(page, "break the gate")
        page.locator(".cite").first.click()
        expect(page.locator("#cited")).to_be_visible()
    assert page.evaluate(AUDIT) == []


@pytest.mark.parametrize("width", [320, 768, 1100])
def test_nothing_is_wider_than_the_window(open_page: OpenPage, addresses: dict[str, str], width: int) -> None:
    page = open_page("/", viewport={"width": width, "height": 800}).page
    ask(page, "markup of the wheel, and averyveryverylongwordthatnobodywouldeverwriteinaquestion" * 2)
    for path in ("", *list(addresses.values())[1:]):
        if path:
            page.goto(page.url.split("/", 3)[0] + "//" + page.url.split("/", 3)[2] + path)
        overflow = page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{path or '/'} at {width} px is {overflow} px too wide"


def test_the_theme_is_chosen_and_kept(open_page: OpenPage) -> None:
    page = open_page("/", color_scheme="light").page
    light = background(page)
    page.get_by_role("button", name="Switch between light and dark").click()
    dark = background(page)
    assert dark != light
    page.goto(page.url + "traces")
    assert background(page) == dark
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background(page) == light


def test_the_system_theme_is_followed(open_page: OpenPage) -> None:
    page = open_page("/", color_scheme="light").page
    light = background(page)
    page.emulate_media(color_scheme="dark")
    assert background(page) != light


def test_every_page_says_that_this_is_local_mode(open_page: OpenPage, addresses: dict[str, str]) -> None:
    page = open_page("/").page
    base = page.url
    for path in addresses.values():
        page.goto(base.rstrip("/") + path)
        expect(page.get_by_text("Local mode")).to_be_visible()


def test_the_first_tab_skips_to_the_content(open_page: OpenPage) -> None:
    page = open_page("/traces").page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_phone_gets_the_passage_as_a_sheet(open_page: OpenPage) -> None:
    page = open_page("/", **PHONE).page
    ask(page, "please write how the wheel is turned")
    page.locator(".cite").first.tap()
    sheet = page.get_by_role("dialog")
    expect(sheet.locator("#cited")).to_be_in_viewport()
    box = page.locator("#passage").bounding_box()
    assert box is not None
    assert box["width"] == 360
    assert box["y"] > 50
    page.get_by_role("button", name="Close the passage").tap()
    expect(sheet).to_be_hidden()


def test_lists_are_cards_on_a_phone(open_page: OpenPage, addresses: dict[str, str]) -> None:
    page = open_page("/traces?text=please+write", **PHONE).page
    first = page.locator("tbody tr").first
    box = first.bounding_box()
    assert box is not None
    assert box["height"] > 70
    expect(first).to_contain_text("please write")


def test_reduced_motion_stops_all_motion(open_page: OpenPage) -> None:
    page = open_page("/", reduced_motion="reduce").page
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every((e) => getComputedStyle(e).animationName === 'none')"
    )


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.fixture(autouse=True)
def no_leftover(site: Site) -> Iterator[None]:
    """An answer that waits would keep the server from stopping."""
    yield
    site.go_on()
