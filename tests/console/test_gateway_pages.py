"""The pages of a gateway with a real browser: figures, models, keys and costs."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from support.browser import PHONE, OpenPage, Site
from support.gateway_console import open_busy_gateway, open_gateway

AUDIT = (Path(__file__).parents[1] / "support" / "audit.js").read_text()
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
}
PAGES = ("/overview", "/overview?range=month", "/models", "/costs", "/costs?by=key", "/keys", "/projects", "/audit")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("gateway")
    site = Site(folder, open_busy_gateway(folder))
    yield site
    site.close()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_pages_are_accessible(open_page: OpenPage, path: str, look: str) -> None:
    page = open_page(path, **LOOKS[look]).page
    expect(page.locator("h1")).to_be_visible()
    for details in page.locator("details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert page.evaluate(AUDIT) == []


@pytest.mark.parametrize("width", [320, 768, 1000])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_the_window(open_page: OpenPage, path: str, width: int) -> None:
    page = open_page(path, viewport={"width": width, "height": 800}).page
    overflow = page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{path} at {width} px is {overflow} px too wide"


def test_a_gateway_begins_with_its_overview(site: Site, open_page: OpenPage) -> None:
    page = open_page("/").page
    page.wait_for_url("**/overview")
    expect(page.locator(".chart canvas")).to_have_count(6)
    shown = json.loads(urllib.request.urlopen(f"{site.url}/api/v1/overview?range=hour", timeout=10).read())
    tile = page.locator(".tile").filter(has_text="Requests")
    expect(tile.locator(".tile-value")).to_have_text(f"{shown['total']['calls']:,}")
    expect(page.get_by_role("img", name=re.compile("Latency over time. Median: last"))).to_be_visible()
    page.get_by_role("link", name="Last 7 days").click()
    expect(page.get_by_role("link", name="Last 7 days")).to_have_attribute("aria-current", "true")
    expect(page.locator(".chart canvas")).to_have_count(6)
    page.get_by_role("link", name="Chat").click()
    expect(page.get_by_label("Your question")).to_be_visible()


def test_the_overview_keeps_itself_up_to_date(site: Site, open_page: OpenPage) -> None:
    page = open_page("/overview").page
    before = page.locator(".tile-value").first.inner_text()
    first = page.locator("#chart-traffic canvas").element_handle()
    assert asked(site, "small") == 200
    with page.expect_response("**/overview?range=hour"):
        page.evaluate("htmx.trigger('#live', 'refresh')")
    expect(page.locator(".tile-value").first).not_to_have_text(before)
    assert first is not None and first.evaluate("(canvas) => canvas.isConnected"), "the chart was drawn anew"


def test_a_target_is_taken_out_and_put_back(site: Site, open_page: OpenPage) -> None:
    opened = open_page("/models")
    opened.watch.expected.append("dialog: Take openai/gpt-4.1-nano out of small?")
    page = opened.page
    row = page.get_by_role("row").filter(has_text="openai/gpt-4.1-nano")
    row.get_by_role("button", name="Take out").click()
    expect(row).to_contain_text("taken out by hand")
    row.get_by_role("button", name="Put back").click()
    expect(row).to_contain_text("healthy")
    page.goto(f"{site.url}/audit")
    expect(page.get_by_role("row").nth(1)).to_contain_text("target.restored")


def test_costs_name_what_has_no_price_and_come_as_csv(site: Site, open_page: OpenPage) -> None:
    page = open_page("/costs").page
    expect(page.locator(".unpriced")).to_contain_text("unpriced")
    expect(page.get_by_role("row").filter(has_text="unpriced")).to_contain_text("–")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("day,model,calls,errors") and len(lines) > 30
    priced = [line for line in lines if ",chat," in line]
    assert priced and all(float(line.split(",")[-2]) > 0 for line in priced)
    page.get_by_role("link", name="chat", exact=True).click()
    expect(page.get_by_text("only model chat")).to_be_visible()
    expect(page.get_by_role("link", name="key_web")).to_be_visible()


def test_an_empty_gateway_says_what_to_do(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> None:
    folder = tmp_path_factory.mktemp("empty")
    empty = Site(folder, open_gateway(folder))
    page = browser.new_page()
    page.goto(f"{empty.url}/overview")
    expect(page.get_by_role("heading", name="No calls in the last hour")).to_be_visible()
    expect(page.locator("#first-call")).to_contain_text(f"curl {empty.url}/v1/chat/completions")
    expect(page.locator("#first-call")).to_contain_text('"model": "chat"')
    page.goto(f"{empty.url}/costs")
    expect(page.get_by_role("heading", name="Nothing spent in this time")).to_be_visible()
    page.close()
    empty.close()


def asked(site: Site, model: str, key: str = "") -> int:
    """The status of a request for a chat."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    sent = urllib.request.Request(f"{site.url}/v1/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
