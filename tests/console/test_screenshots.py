"""The pictures of the docs, made from the pages themselves: `make screenshots`."""

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browser import PHONE, OpenPage, Site, ask, traces
from support.console_site import GUIDE, TURBINE

from penstock.config import load
from penstock.gateway.services import Services
from penstock.knowledge.sources.pushed import PushedDocument

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 200_000

pytestmark = pytest.mark.skipif(
    not os.environ.get("PENSTOCK_SCREENSHOTS"), reason="pictures are made by `make screenshots`"
)

DOCUMENTS = {
    "gate.md": GUIDE,
    "turbines.md": TURBINE,
    "weir.txt": "The weir is 84 metres long and its crest lies 212.4 metres above the sea.\n",
    "drawings/intake.pdf": "%PDF-1.7 a file that was cut off",
}


QUESTIONS = (
    "How do I close the gate?",
    "How long is the weir?",
    "How do I make a key?",
    "What may a viewer do?",
    "How are limits counted?",
    "Where do certificates go?",
    "Who designed the carpet?",
    "When was the moon landing?",
)


@asynccontextmanager
async def real_app(folder: Path) -> AsyncIterator[Services]:
    """A folder of documents as `penstock up` serves it."""
    from penstock.platform import Platform

    for name, text in DOCUMENTS.items():
        path = folder / "power-station" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    async with Platform.open(load(folder / "power-station")) as platform:
        await platform.ingest()
        await platform.app.warm()
        yield platform.services


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pictures")
    site = Site(folder, real_app(folder))
    yield site
    site.close()


def picture(page: Page, name: str) -> None:
    page.wait_for_timeout(300)  # transitions
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size < LARGEST


def test_screenshot_of_a_question_with_its_passage(open_page: OpenPage) -> None:
    page = open_page("/").page
    ask(page, "How do I close the gate?")
    page.locator(".quote").first.click()
    expect(page.locator("#cited")).to_be_visible()
    picture(page, "chat")


def test_screenshot_of_an_unanswered_question_on_a_phone(open_page: OpenPage) -> None:
    page = open_page("/", **PHONE, color_scheme="dark").page
    ask(page, "Who designed the control room's carpet?")
    expect(page.get_by_role("heading", name="The documents do not say")).to_be_visible()
    picture(page, "chat-phone")


def test_screenshot_of_traces(open_page: OpenPage) -> None:
    page = open_page("/").page
    for question in (
        "How long does an inspection of a turbine take?",
        "What is the height of the weir's crest?",
        "When was the moon landing?",
        "What do I do once the gate is closed?",
    ):
        ask(page, question)
        if "closed" in question:
            page.get_by_role("button", name="This answer is good").click()
            expect(page.get_by_role("status")).to_have_text("Thank you, noted.")
        page.get_by_role("button", name="New conversation").click()
    page.get_by_role("link", name="Traces").first.click()
    expect(page.locator("tbody tr").first).to_contain_text("What do I do once the gate is closed?")
    picture(page, "traces")
    page.locator("tbody a").first.click()
    expect(page.locator(".waterfall")).to_be_visible()
    picture(page, "trace")


def test_screenshot_of_the_knowledge(open_page: OpenPage) -> None:
    page = open_page("/knowledge").page
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Search these documents").fill("how long do the runners last")
    expect(page.locator(".hit")).not_to_have_count(0)
    picture(page, "knowledge")
    page.get_by_role("link", name="Documents", exact=True).click()
    page.get_by_role("link", name="gate.md").click()
    page.locator(".cut[data-passage='2']").first.hover()
    expect(page.locator("#passage-card")).to_be_visible()
    picture(page, "document")


def test_screenshot_of_the_map(open_page: OpenPage, site: Site) -> None:
    pages = [IMAGES.parent / f"{name}.md" for name in ("access", "answers", "search", "limits", "traces", "tls")]
    pushed = [PushedDocument(key=f"penstock/{page.name}", data=page.read_bytes()) for page in pages]
    site.do(site.services.knowledge["docs"].push(pushed))
    for question in QUESTIONS:
        site.complete(question, model="power-station")
    assert traces(site)
    page = open_page("/knowledge").page
    page.get_by_role("link", name="Map", exact=True).click()
    expect(page.locator("#map")).to_have_attribute("data-drawn", re.compile(r"\d+"))
    page.evaluate("scrollTo(0, 120)")
    drawn = page.evaluate("fetch(document.getElementById('map').dataset.points).then((answer) => answer.json())")
    x, y = drawn["passages"][30][:2]
    box = page.locator("#map-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 24 + (box["width"] - 48) * x, box["y"] + 24 + (box["height"] - 48) * (1 - y))
    expect(page.locator("#map-card")).to_be_visible()
    picture(page, "map")
