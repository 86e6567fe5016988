"""The pages of a knowledge base with a past, in a real browser: what they show, and what can be done on them."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.browser import PHONE, OpenPage, Site
from support.knowledge_site import SECRET, open_knowledge_site

from penstock.errors import Conflict
from penstock.knowledge.base import EVERYTHING, IngestProgress, IngestSummary, Progress
from penstock.knowledge.ingestion.records import RULES, RunOptions
from penstock.knowledge.values import ignore_progress

AUDIT = (Path(__file__).parents[1] / "support" / "audit.js").read_text()
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
}
BASE = "/knowledge/manuals"
PAGES = {
    "documents": BASE,
    "search": f"{BASE}/search?q=close+the+gate&mode=compare",
    "map": f"{BASE}/map",
    "gaps": f"{BASE}/gaps?state=all",
    "gap": f"{BASE}/gaps/GAP",
    "sources": f"{BASE}/sources",
    "runs": f"{BASE}/runs",
    "run": f"{BASE}/runs/RUN",
    "generations": f"{BASE}/generations?after=2",
    "document": f"{BASE}/DOCUMENT",
    "broken": f"{BASE}/BROKEN",
}
QUESTIONS = ("nobody knows the price of the crane", "nobody knows the price of a crane", "nobody built of granite")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("knowledge")
    site = Site(folder, open_knowledge_site(folder))
    for question in (*QUESTIONS, "how is the gate closed"):
        site.complete(question)
    site.do(site.services.traces.flush())
    yield site
    site.close()


def address(site: Site, page: str) -> str:
    base, gaps = site.services.knowledge["manuals"], site.services.gaps
    assert gaps is not None
    documents = {row.path: row.id for row in base.documents(EVERYTHING)}
    found = site.do(gaps.gaps("local", "manuals", None, 10))
    partial = next(run for run in site.do(base.runs.latest()) if run.state == "partial")
    path = PAGES[page].replace("GAP", found[0].id).replace("RUN", partial.id)
    return path.replace("DOCUMENT", documents["guide/gate.md"]).replace("BROKEN", documents["reports/broken.pdf"])


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_accessible_and_fit(open_page: OpenPage, site: Site, name: str, look: str) -> None:
    page = open_page(address(site, name), **LOOKS[look]).page
    expect(page.locator("h1")).to_be_visible()
    for details in page.locator("details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert page.evaluate(AUDIT) == []
    for width in (320, 768) if look == "light" else ():
        page.set_viewport_size({"width": width, "height": 800})
        overflow = page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} at {width} px is {overflow} px too wide"


def test_each_source_says_what_it_gave_and_what_failed(open_page: OpenPage) -> None:
    page = open_page(f"{BASE}/sources").page
    folder = page.locator(".source-card").filter(has_text="The app's files")
    expect(folder).to_contain_text("docs/**/*")
    expect(folder).to_contain_text("when files change")
    expect(folder).to_contain_text("site = dam")
    handbook = page.locator(".source-card").filter(has_text="web.handbook")
    expect(handbook).to_contain_text("handbook.example cannot be reached.")
    expect(handbook).to_contain_text("0 3 * * * (UTC), next")
    expect(handbook).to_contain_text("group:hr")
    pushed = page.locator(".source-card").filter(has_text="Pushed through the API")
    pushed.get_by_role("link", name="2", exact=True).click()
    expect(page.locator("#documents tbody tr")).to_have_count(2)
    expect(page.locator("#documents")).to_contain_text("restricted")


def test_a_run_is_started_here_and_reports(open_page: OpenPage, site: Site) -> None:
    page = open_page(f"{BASE}/runs").page
    page.get_by_role("button", name="Start a run").click()
    expect(page).to_have_url(re.compile(r"/runs/run_\w+$"))
    expect(page.locator(".run-facts")).to_contain_text("partial")
    expect(page.locator(".run-facts")).to_contain_text("by hand or API")
    expect(page.get_by_role("heading", name="Sources left as they were")).to_be_visible()
    expect(page.locator(".source-problems")).to_contain_text("handbook.example cannot be reached.")
    expect(page.locator(".run-problems")).to_contain_text("reports/broken.pdf")
    unchanged = page.locator(".tile").filter(has_text="Unchanged").locator(".tile-value")
    assert int(unchanged.inner_text()) > 0
    page.get_by_role("link", name="Runs").click()
    expect(page.locator(".runs tbody tr").first).to_contain_text("nothing new")
    expect(page.locator(".runs tbody tr").first).to_contain_text("1 source left as it was")
    run = site.do(site.services.knowledge["manuals"].runs.latest(1))[0]
    assert (run.trigger, run.state) == ("api", "partial")


def test_a_run_at_work_says_how_far_it_is_and_can_be_ended(open_page: OpenPage, site: Site) -> None:
    base = site.services.knowledge["manuals"]
    working: list[asyncio.Task[IngestSummary]] = []

    async def hang(note: Progress) -> IngestSummary:
        note(IngestProgress(total=8, done=2, current="guide/gate.md", chunks=5))
        await asyncio.Event().wait()
        raise AssertionError("it was cancelled")

    async def begin() -> str:
        run = await base.runs.add("schedule", RunOptions(RULES, durable=False))
        working.append(asyncio.create_task(base.runs.work(run.id, hang, ignore_progress)))
        return run.id

    opened = open_page(f"{BASE}/runs/{site.do(begin())}")
    opened.watch.expected.append("dialog: End this run?")
    page = opened.page
    expect(page.locator(".run-progress")).to_contain_text("2 of 8 documents, 5 passages")
    expect(page.locator("progress")).to_have_attribute("value", "0.25")
    expect(page.get_by_text("guide/gate.md")).to_be_visible()
    page.get_by_role("button", name="End the run").click()
    expect(page.locator(".run-facts")).to_contain_text("cancelled")
    expect(page.get_by_role("alert")).to_contain_text("It was cancelled.")
    expect(page.get_by_role("button", name="End the run")).to_have_count(0)
    (ended,) = site.do(outcome(working))
    assert isinstance(ended, Conflict)


async def outcome(working: list[asyncio.Task[IngestSummary]]) -> list[IngestSummary | BaseException]:
    return await asyncio.gather(*working, return_exceptions=True)


def test_generations_are_compared_and_gone_back_to(open_page: OpenPage, site: Site) -> None:
    opened = open_page(f"{BASE}/generations")
    opened.watch.expected += ["dialog: Go back to generation 1?", "dialog: Show generation 3"]
    page = opened.page
    page.get_by_label("to", exact=True).select_option("2")
    page.get_by_label("from", exact=True).select_option("1")
    changes = page.locator(".changes li")
    expect(changes).to_have_text(
        [r"~changed:guide/gate.md", r"−removed:guide/turbines.md", r"+added:guide/weir.md"]
    )
    page.get_by_role("button", name="Go back to generation 1").click()
    expect(page.locator(".pinned")).to_contain_text("Readers are kept at generation 1.")
    base = site.services.knowledge["manuals"]
    assert base.generation() == 1
    page.goto(f"{site.url}{BASE}")
    expect(page.locator("#documents")).to_contain_text("guide/turbines.md")
    page.goto(f"{site.url}{BASE}/generations")
    page.get_by_role("button", name="Publish generation 3").click()
    expect(page.locator(".pinned")).to_have_count(0)
    assert base.generation() == 3


def test_the_map_shows_passages_and_questions_and_opens_them(open_page: OpenPage, site: Site) -> None:
    page = open_page(f"{BASE}/map").page
    expect(page.locator("#map")).to_have_attribute("data-drawn", re.compile(r"\d+"))
    drawn = json.loads(page.evaluate(f"fetch('{BASE}/map/points').then((answer) => answer.text())"))
    counts = site.services.knowledge["manuals"].counts(EVERYTHING)
    assert len(drawn["passages"]) == counts.chunks
    assert {each[3] for each in drawn["questions"]} >= set(QUESTIONS)
    assert all(0 <= each[at] <= 1 for each in drawn["passages"] + drawn["questions"] for at in (0, 1))
    page.get_by_role("checkbox", name="Questions").uncheck()
    x, y, document = drawn["passages"][0][:3]
    hover(page, x, y)
    expect(page.locator("#map-card")).to_contain_text(drawn["documents"][document]["path"])
    page.locator("#map-canvas").click(position=spot(page, x, y))
    expect(page).to_have_url(re.compile(r"/knowledge/manuals/doc_\w+\?start="))
    expect(page.locator("#cited")).to_be_visible()


def test_a_legend_entry_shows_one_group_and_closer_goes_closer(open_page: OpenPage) -> None:
    page = open_page(f"{BASE}/map").page
    page.get_by_label("Colour by").select_option("source")
    pushed = page.locator("#legend button").filter(has_text="pushed")
    pushed.click()
    expect(pushed).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Closer").click()
    expect(page.locator("#map")).to_have_class(re.compile("closer"))
    page.get_by_role("button", name="All").click()
    expect(page.locator("#map")).not_to_have_class(re.compile("closer"))


def test_a_gap_is_dismissed_with_a_word_and_opened_again(open_page: OpenPage) -> None:
    page = open_page(f"{BASE}/gaps").page
    row = page.get_by_role("row").filter(has_text="price of")
    expect(row).to_contain_text("2×")
    row.get_by_role("link").click()
    expect(page.locator(".gap-questions a")).to_have_count(2)
    expect(page.locator(".hit")).not_to_have_count(0)
    page.get_by_text("Dismiss this gap").click()
    page.get_by_label("Why the documents need not answer it").fill("ask purchasing")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".run-facts")).to_contain_text("dismissed")
    expect(page.get_by_text("ask purchasing")).to_be_visible()
    page.get_by_role("link", name="Gaps").click()
    expect(page.locator("#gaps")).not_to_contain_text("price of")
    page.get_by_role("link", name="Dismissed").click()
    page.get_by_role("link", name=re.compile("price of")).click()
    page.get_by_role("button", name="Open it again").click()
    expect(page.locator(".run-facts")).to_contain_text("open")
    page.locator(".gap-questions a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("crane")


def test_passages_are_drawn_over_the_text_and_say_what_they_are(open_page: OpenPage, site: Site) -> None:
    page = open_page(address(site, "document")).page
    base = site.services.knowledge["manuals"]
    row = next(row for row in base.documents(EVERYTHING) if row.path == "guide/gate.md")
    expect(page.locator(".passage-mark")).to_have_count(row.chunks)
    page.locator(".cut[data-passage='2']").first.hover()
    card = page.locator("#passage-card")
    expect(card).to_contain_text("Passage 2")
    expect(card).to_contain_text(re.compile(r"about \d+ tokens"))
    expect(page.locator(".cut[data-passage='2'].lit")).not_to_have_count(0)
    page.get_by_role("link", name="Text", exact=True).click()
    expect(page.locator(".cut")).to_have_count(0)
    expect(page.get_by_role("link", name="Closing the gate")).to_have_attribute("href", re.compile(r"^#at-\d+$"))
    expect(page.locator(".about")).to_contain_text("markdown")


def test_a_document_with_an_address_links_to_it(open_page: OpenPage) -> None:
    page = open_page(BASE).page
    page.get_by_role("link", name="hr/pay.md").click()
    expect(page.get_by_role("link", name="Open it")).to_have_attribute("href", "https://intra.example/pay")
    expect(page.locator(".about")).to_contain_text("group:hr")
    expect(page.locator(".document-text")).to_contain_text(SECRET)


def test_a_value_of_the_metadata_becomes_a_filter(open_page: OpenPage) -> None:
    page = open_page(f"{BASE}/search?q=key").page
    page.get_by_role("button", name='Filter by team "plant"').click()
    expect(page.locator(".hit")).to_have_count(1)
    expect(page.locator(".hit")).to_contain_text("notes/keys.txt")
    expect(page).to_have_url(re.compile("filter=%7B%22team"))


def test_pages_work_without_scripts(open_page: OpenPage, site: Site) -> None:
    page = open_page(f"{BASE}/search", java_script_enabled=False).page
    page.get_by_label("Search these documents").fill("granite")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".hit").first).to_contain_text("guide/weir.md")
    page.goto(f"{site.url}{BASE}/generations?before=1&after=2")
    expect(page.locator(".changes li")).to_have_count(3)
    for link in page.locator(".changes a").all():
        expect(link).to_have_attribute("href", re.compile(f"^{BASE}/doc_"))
    page.locator(".changes a").first.click()
    expect(page.locator(".document-text")).to_be_visible()
    page.goto(f"{site.url}{address(site, 'document')}")
    expect(page.locator(".cut").first).to_be_visible()


def spot(page: Page, x: float, y: float) -> Any:
    """Where a place of the map is on its canvas."""
    box = page.locator("#map-canvas").bounding_box()
    assert box is not None
    return {"x": 24 + (box["width"] - 48) * x, "y": 24 + (box["height"] - 48) * (1 - y)}


def hover(page: Page, x: float, y: float) -> None:
    page.locator("#map-canvas").hover(position=spot(page, x, y))
