"""The list of traces with its filter, and one trace with its waterfall, prompt, evidence and copies."""

import json
import re

import pytest
from playwright.sync_api import Page, expect
from support.browser import OpenPage, Site, ask, traces

QUESTIONS = {
    "ok": "please write how the gate is closed",
    "unanswered": "nobody knows what a turbine costs",
    "engine stopped": "break while the turbine turns",
}


@pytest.fixture(autouse=True, scope="module")
def asked(site: Site) -> None:
    """One trace of each kind, made through the server itself."""
    for question in QUESTIONS.values():
        site.complete(question)
    traces(site)


def test_the_list_shows_each_request_with_its_outcome(open_page: OpenPage) -> None:
    page = open_page("/traces").page
    rows = page.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(len(QUESTIONS) + 1)
    for outcome, question in QUESTIONS.items():
        expect(rows.filter(has_text=question)).to_contain_text(outcome)
    expect(page.locator(".found")).to_have_text("3 traces")


def test_the_filter_works_while_typing_and_stays_in_the_address(open_page: OpenPage) -> None:
    page = open_page("/traces").page
    page.get_by_label("Question contains").press_sequentially("turbine")
    expect(page.locator(".found")).to_have_text("2 traces")
    page.get_by_label("Status").select_option("Unanswered")
    expect(page.locator(".found")).to_have_text("1 trace")
    expect(page.get_by_role("row").last).to_contain_text(QUESTIONS["unanswered"])
    expect(page).to_have_url(re.compile(r"/traces\?text=turbine&status=unanswered$"))
    page.reload()
    expect(page.locator(".found")).to_have_text("1 trace")
    expect(page.get_by_label("Question contains")).to_have_value("turbine")
    page.get_by_label("Question contains").fill("no such words")
    expect(page.get_by_role("heading", name="No trace matches")).to_be_visible()


@pytest.mark.parametrize(
    ("label", "option", "left"), [("Answered by", "plant", 3), ("Feedback", "Good", 0), ("Started", "Last hour", 3)]
)
def test_each_choice_of_the_filter_narrows_the_list(
    open_page: OpenPage, label: str, option: str, left: int
) -> None:
    page = open_page("/traces").page
    page.get_by_label(label).select_option(option)
    expect(page).to_have_url(re.compile(r"\?\w+=\w+$"))
    expect(page.locator("tbody tr")).to_have_count(left)


def test_long_lists_come_in_pages(open_page: OpenPage, site: Site) -> None:
    for number in range(55):
        site.complete(f"paging question {number}")
    traces(site)
    page = open_page("/traces?text=paging").page
    expect(page.locator("tbody tr")).to_have_count(50)
    expect(page.locator("tbody tr").first).to_contain_text("paging question 54")
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(5)
    expect(page.locator("tbody tr").last).to_contain_text("paging question 0")
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(50)
    page.go_forward()
    expect(page.locator("tbody tr")).to_have_count(5)
    page.get_by_role("link", name="Newest").click()
    expect(page.locator("tbody tr")).to_have_count(50)


def test_a_trace_shows_its_spans_on_one_scale(open_page: OpenPage) -> None:
    page = open_trace(open_page, QUESTIONS["ok"])
    names = page.locator(".wf-name").all_inner_texts()
    assert names == ["chat plant", "embed", "search", "generate"]
    boxes = {name: box(page, index) for index, name in enumerate(names)}
    whole_left, whole_width = boxes["chat plant"]
    assert whole_width > 300
    for left, width in boxes.values():
        assert left >= whole_left - 1
        assert left + width <= whole_left + whole_width + 1
    assert boxes["embed"][0] < boxes["search"][0] < boxes["generate"][0]
    page.locator("summary", has_text="search").click()
    expect(page.get_by_label("Attributes of search")).to_contain_text("retrieval.documents")


def test_a_trace_shows_the_prompt_as_it_was_sent_and_the_evidence_with_its_scores(open_page: OpenPage) -> None:
    page = open_trace(open_page, QUESTIONS["ok"])
    expect(page.get_by_role("heading", name="Prompt as sent to the model")).to_be_visible()
    expect(page.get_by_label("Message of the system")).to_have_text("Answer from the passages only.")
    expect(page.get_by_label("Message of the user")).to_have_text(QUESTIONS["ok"])
    row = page.locator(".evidence-table tbody tr").first
    expect(row).to_contain_text("guide/gate.md")
    assert len(re.findall(r"\d\.\d\d", row.inner_text())) == 3
    expect(page.locator(".facts")).to_contain_text("Tokens in183")
    row.get_by_role("link").click()
    expect(page.locator("#cited")).to_be_visible()


def test_a_failed_trace_says_why(open_page: OpenPage) -> None:
    page = open_trace(open_page, QUESTIONS["engine stopped"])
    expect(page.locator("main .notice.bad").first).to_contain_text("The engine of 'tiny' stopped.")


def test_a_trace_can_be_copied_and_sent_again(open_page: OpenPage, site: Site) -> None:
    page = open_trace(open_page, QUESTIONS["ok"])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith(f"curl {site.url}/v1/chat/completions -H 'Content-Type: application/json' -d '{{")
    assert json.loads(command.partition("-d '")[2][:-1]) == {
        "model": "plant",
        "messages": [{"role": "user", "content": QUESTIONS["ok"]}],
    }
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(2)
    detail = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert detail["trace"]["id"] == page.url.rpartition("/")[2]


def test_a_trace_that_is_not_there_is_said_so(open_page: OpenPage) -> None:
    opened = open_page("/")
    opened.watch.expected.append("404")
    answer = opened.page.goto(opened.page.url + "traces/" + "0" * 32)
    assert answer is not None
    assert answer.status == 404
    expect(opened.page.get_by_role("alert")).to_contain_text("There is no trace '000")


def test_markup_in_a_question_stays_text(open_page: OpenPage, site: Site) -> None:
    site.complete("markup <script>alert(1)</script><img src=x onerror=alert(2)>")
    traces(site)
    page = open_page("/traces?text=onerror").page
    expect(page.locator("tbody tr")).to_contain_text("<script>alert(1)</script>")
    page.locator("tbody a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(2)>")
    assert page.locator("main img, main script").count() == 0


def open_trace(open_page: OpenPage, question: str) -> Page:
    page = open_page("/traces").page
    page.get_by_label("Question contains").fill(question)
    page.get_by_role("link", name=question).first.click()
    page.wait_for_url("**/traces/*")
    return page


def box(page: Page, index: int) -> tuple[float, float]:
    found = page.locator(".wf-bar rect").nth(index).bounding_box()
    assert found is not None
    return found["x"], found["width"]


def test_a_question_asked_in_the_chat_is_in_the_list_at_once(open_page: OpenPage) -> None:
    page = open_page("/").page
    ask(page, "is this one listed")
    page.get_by_role("link", name="Trace", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("is this one listed")
