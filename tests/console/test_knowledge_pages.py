"""What a knowledge base holds, files dropped in, and a search to try; the document with the cited range marked."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect
from support.browser import OpenPage, Site


@pytest.fixture
def knowledge(open_page: OpenPage) -> Page:
    return open_page("/knowledge").page


@pytest.fixture
def bench(open_page: OpenPage) -> Page:
    return open_page("/knowledge/manuals/search").page


def file(name: str, text: str = "A spare key hangs in the warden's office.") -> FilePayload:
    return FilePayload(name=name, mimeType="", buffer=text.encode())


def test_the_only_base_is_shown_at_once_with_its_documents(knowledge: Page) -> None:
    expect(knowledge).to_have_url(re.compile("/knowledge/manuals$"))
    expect(knowledge.get_by_role("heading", level=1)).to_have_text("manuals")
    expect(knowledge.locator("#counts")).to_have_text(re.compile(r"^5 documents, \d+ passages, generation 1$"))
    broken = knowledge.get_by_role("row").filter(has_text="reports/broken.pdf")
    expect(broken).to_contain_text("corrupt")
    expect(broken).to_contain_text("It is broken or only a part of a PDF.")
    expect(knowledge.get_by_role("row").filter(has_text="guide/gate.md")).to_contain_text("ok")


def test_the_list_is_filtered_by_name_and_status(knowledge: Page) -> None:
    knowledge.get_by_label("Name contains").fill("größe")
    expect(knowledge.locator("#documents tbody tr")).to_have_count(1)
    knowledge.get_by_label("Name contains").fill("")
    knowledge.get_by_label("Status").select_option("corrupt")
    expect(knowledge.locator("#documents tbody tr")).to_contain_text("reports/broken.pdf")
    knowledge.get_by_label("Name contains").fill("gate")
    expect(knowledge.get_by_role("heading", name="No document matches")).to_be_visible()


def test_the_list_is_filtered_by_source(knowledge: Page) -> None:
    expect(knowledge.get_by_label("Source").locator("option").nth(1)).to_have_text("folder (5)")
    knowledge.get_by_label("Source").select_option("folder")
    expect(knowledge).to_have_url(re.compile("source=folder"))
    expect(knowledge.locator("#documents tbody tr")).to_have_count(5)


def test_a_file_is_dropped_in_found_and_removed_again(open_page: OpenPage) -> None:
    opened = open_page("/knowledge")
    opened.watch.expected.append("dialog: Remove keys & <i>locks.txt")
    knowledge = opened.page
    knowledge.get_by_label("Choose files to add").set_input_files(file("keys & <i>locks.txt"))
    upload = knowledge.locator(".upload")
    expect(upload).to_contain_text("1 passage")
    row = knowledge.get_by_role("row").filter(has_text="keys & <i>locks.txt")
    expect(row).to_contain_text("ok")
    expect(knowledge.locator("#counts")).to_contain_text("6 documents")
    assert knowledge.locator("main i").count() == 0
    knowledge.get_by_role("link", name="Search", exact=True).click()
    knowledge.get_by_label("Search these documents").fill("where does the spare key hang")
    expect(knowledge.locator(".hit").first).to_contain_text("keys & <i>locks.txt")
    assert knowledge.locator("main i").count() == 0
    knowledge.get_by_role("link", name="Documents", exact=True).click()
    row.get_by_role("button", name="Remove keys & <i>locks.txt").click()
    expect(row).to_have_count(0)
    expect(knowledge.locator("#counts")).to_contain_text("5 documents")


def test_dropping_a_file_with_the_mouse_takes_it_in(knowledge: Page) -> None:
    knowledge.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["The bell rings twice at noon."], "bell.md"));
            const drop = document.getElementById("drop");
            for (const kind of ["dragenter", "dragover", "drop"])
                drop.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true }));
        }"""
    )
    expect(knowledge.locator(".upload")).to_contain_text("1 passage")
    expect(knowledge.get_by_role("row").filter(has_text="bell.md")).to_be_visible()


def test_a_file_that_cannot_be_taken_in_says_why(open_page: OpenPage) -> None:
    opened = open_page("/knowledge/manuals")
    opened.watch.expected.append("400 (Bad Request)")
    chooser = opened.page.get_by_label("Choose files to add")
    chooser.set_input_files(file("tool.exe"))
    expect(opened.page.locator(".upload").first).to_contain_text("'tool.exe' is not of a kind that can be read.")
    chooser.set_input_files(file("torn.pdf", "%PDF-1.7 torn"))
    expect(opened.page.locator(".upload").first).to_contain_text("It is broken or only a part of a PDF.")
    chooser.set_input_files(file("long.txt", "x" * 1_200_000))
    expect(opened.page.locator(".upload").first).to_contain_text("Too large: 1.2 MB")


def test_a_search_shows_both_scores_as_bars(bench: Page) -> None:
    bench.get_by_label("Search these documents").press_sequentially("how long does an inspection take")
    hit = bench.locator(".hit").first
    expect(hit).to_contain_text("guide/turbines.md › Turbines › Inspection")
    expect(hit.locator("dt")).to_have_text(["Words", "Meaning", "Together"])
    widths = [float(str(bar.get_attribute("width")).rstrip("%")) / 100 for bar in hit.locator("rect").all()]
    scores = [float(text) for text in hit.locator("dd").all_inner_texts()]
    assert widths == pytest.approx(scores, abs=0.006)
    assert min(scores) > 0
    hit.get_by_role("link").click()
    expect(bench.get_by_role("heading", level=1)).to_have_text("Turbines")
    marked = " ".join(bench.locator("mark").all_inner_texts())
    assert "Each turbine is inspected every second spring" in marked


def test_a_hit_says_what_its_score_is_made_of_and_which_words_it_lacks(bench: Page) -> None:
    bench.get_by_label("Search these documents").fill("inspection of the turbine in winter")
    hit = bench.locator(".hit").first
    expect(hit).to_be_visible()
    words, meaning, together = (float(text) for text in hit.locator("dd").all_inner_texts())
    assert together == pytest.approx(0.5 * words + 0.5 * meaning, abs=0.011)
    expect(hit.locator(".why")).to_contain_text(f"0.5 × {meaning:.2f} meaning + 0.5 × {words:.2f} words")
    expect(hit.locator(".lack")).to_have_text(["winter"])
    expect(hit.locator("mark.word").first).to_have_text("turbine")


def test_the_share_of_the_meaning_changes_the_mix(bench: Page) -> None:
    bench.get_by_label("Search these documents").fill("inspection of the turbine")
    expect(bench.locator(".hit")).not_to_have_count(0)
    bench.get_by_label("Share of the meaning").fill("1")
    bench.get_by_label("Share of the meaning").blur()
    expect(bench.locator(".why").first).to_contain_text("1 × ")
    _, meaning, together = bench.locator(".hit").first.locator("dd").all_inner_texts()
    assert together == meaning
    expect(bench).to_have_url(re.compile("weight=1"))


def test_three_ways_to_search_are_compared_side_by_side(bench: Page) -> None:
    bench.get_by_label("Search these documents").fill("close the gate")
    bench.get_by_label("Search by").select_option("compare")
    expect(bench.locator(".tried h2")).to_have_text(["Both together", "Meaning alone", "Words alone"])
    by_words = bench.locator(".tried").nth(2).locator(".hit").first
    expect(by_words.locator("dd").nth(1)).to_have_text("–")
    expect(by_words.locator(".elsewhere")).to_contain_text("Both together: ")


def test_a_filter_that_cannot_be_read_is_explained_beside_the_question(open_page: OpenPage, site: Site) -> None:
    opened = open_page("/knowledge/manuals/search?q=gate&filter=%7Bteam")
    opened.watch.expected.append("400")
    page = opened.page
    expect(page.get_by_role("alert")).to_contain_text("The filter '{team' is no JSON.")
    expect(page.get_by_label("Search these documents")).to_have_value("gate")
    expect(page.get_by_label("Filter on metadata, as JSON")).to_have_value("{team")
    page.goto(f"{site.url}/knowledge/manuals/search?q=gate&generation=x")
    expect(page.get_by_role("alert")).to_contain_text("The generation 'x' is no number.")


def test_a_search_can_be_bookmarked(bench: Page) -> None:
    bench.get_by_label("Search these documents").fill("weir")
    expect(bench.locator(".hit")).not_to_have_count(0)
    bench.reload()
    expect(bench.get_by_label("Search these documents")).to_have_value("weir")
    expect(bench.locator(".hit").first).to_contain_text("reports/Größe & Länge.txt")


def test_markup_in_a_document_and_its_name_stays_text(knowledge: Page) -> None:
    row = knowledge.get_by_role("row").filter(has_text="<b onmouseover=alert(3)>notes.md")
    row.get_by_role("link").click()
    expect(knowledge.locator(".lede")).to_contain_text("guide/<b onmouseover=alert(3)>notes.md")
    expect(knowledge.locator(".document-text")).to_contain_text("alert('text')")
    assert knowledge.locator("main").locator("img, script, b").count() == 0
    assert knowledge.locator("main svg[onload]").count() == 0


def test_a_document_that_is_not_there_is_said_so(open_page: OpenPage) -> None:
    opened = open_page("/")
    opened.watch.expected += ["404", "400"]
    for address, words in (
        ("knowledge/manuals/doc_0", "There is no document 'doc_0'"),
        ("knowledge/plans", "There is no knowledge 'plans'. "),
        ("knowledge/manuals?first=x", "This address has a part that cannot be read"),
    ):
        opened.page.goto(opened.page.url.split("/k")[0].rstrip("/") + "/" + address)
        expect(opened.page.get_by_role("alert")).to_contain_text(words.strip())


def test_uploads_are_kept_as_files(knowledge: Page, site: Site) -> None:
    knowledge.get_by_label("Choose files to add").set_input_files(file("../../escape.txt"))
    expect(knowledge.locator(".upload")).to_contain_text("1 passage")
    kept = [path.relative_to(site.folder) for path in site.folder.rglob("escape.txt")]
    assert kept == [Path("uploads/manuals/escape.txt")]
