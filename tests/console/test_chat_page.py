"""Asking in a real browser: evidence first, the answer as it comes, citations that open, and what can go wrong."""

import re

from playwright.sync_api import Page, expect
from support.browser import OpenPage, Site, ask, traces


def test_an_example_is_asked_by_a_click_and_answered_with_its_sources(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Ask plant")
    page.get_by_role("button", name="What is said about “Turbines”?").click()
    turn = page.locator(".turn:last-child")
    expect(turn.get_by_role("heading", level=2)).to_have_text("What is said about “Turbines”?")
    expect(turn.locator(".quote").first).to_contain_text("Each turbine is inspected every second spring")
    expect(turn.locator(".quote").first).to_contain_text("guide/turbines.md › Turbines")
    expect(turn.locator(".timing")).to_contain_text(re.compile(r"evidence \d+ ms · answer \d"))


def test_evidence_stands_before_the_answer_is_written_and_does_not_move(page: Page, site: Site) -> None:
    site.app.go_on.clear()
    ask(page, "wait, then write how the wheel is turned clockwise", finished=False)
    turn = page.locator(".turn:last-child")
    expect(turn.locator(".quote")).to_have_count(4)
    expect(turn.locator(".answer")).to_have_text(re.compile(r"^Turn the wheel clockwise, slowly"))
    expect(turn.locator("article")).to_have_attribute("aria-busy", "true")
    before = turn.locator(".quotes").bounding_box()
    site.go_on()
    expect(turn.locator("article")).to_have_attribute("aria-busy", "false")
    expect(turn.locator(".answer .cite")).to_have_count(1)
    assert turn.locator(".quotes").bounding_box() == before


def test_an_answer_of_quotes_is_shown_once_and_copied_whole(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "is the wheel turned clockwise?")
    turn = page.locator(".turn:last-child")
    expect(turn.get_by_role("heading", name="From the documents")).to_be_visible()
    expect(turn.locator(".quote")).to_have_count(2)
    expect(turn.locator(".answer")).to_be_hidden()
    turn.get_by_role("button", name="Copy the answer").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("Turn the wheel clockwise until the red mark meets the white one. [1] ")


def test_a_citation_opens_its_passage_beside_the_chat_and_gives_the_focus_back(page: Page) -> None:
    ask(page, "please write how the wheel is turned clockwise")
    cite = page.locator(".turn:last-child .cite").first
    cite.click()
    passage = page.get_by_role("dialog", name="The gate of the penstock")
    expect(passage.locator("mark")).to_have_text("Turn the wheel clockwise until the red mark meets the white one.")
    expect(passage).to_contain_text("The gate of the penstock › Closing the gate")
    expect(cite).to_have_attribute("aria-expanded", "true")
    assert page.locator("#passage").bounding_box()["x"] > 700  # type: ignore[index]
    page.keyboard.press("Escape")
    expect(passage).to_be_hidden()
    expect(cite).to_be_focused()


def test_the_whole_document_opens_at_the_cited_passage(page: Page, site: Site) -> None:
    ask(page, "How do I close the gate?")
    page.locator(".turn:last-child .quote").first.click()
    page.get_by_role("link", name="Open the whole document").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The gate of the penstock")
    expect(page.locator("#cited")).to_be_in_viewport()
    assert re.search(r"/knowledge/manuals/doc_\w+\?chunk=chk_\w+&start=\d+&end=\d+$", page.url)


def test_marks_stand_where_the_answer_says_though_characters_have_two_units(page: Page) -> None:
    ask(page, "please write how to close the gate")
    answer = page.locator(".turn:last-child .answer")
    expect(answer).to_have_text(
        "Turn the wheel clockwise, slowly 🌊, until the marks meet.1 The wheel is painted blue."
    )
    expect(answer.locator(".unsupported")).to_have_text("The wheel is painted blue.")
    expect(page.locator(".turn:last-child .unsupported-note")).to_be_visible()


def test_what_the_documents_do_not_say_is_said_with_the_nearest_passages(page: Page) -> None:
    ask(page, "nobody knows what a turbine costs")
    turn = page.locator(".turn:last-child")
    expect(turn.get_by_role("heading", name="The documents do not say")).to_be_visible()
    expect(turn.get_by_role("heading", name="Nearest passages")).to_be_visible()
    expect(turn.locator(".quote")).not_to_have_count(0)
    expect(turn.locator(".answer")).to_be_hidden()


def test_an_error_says_what_to_do_and_can_be_tried_again(page: Page) -> None:
    ask(page, "break while the turbine turns")
    alert = page.locator(".turn:last-child").get_by_role("alert")
    expect(alert).to_contain_text("The engine of 'tiny' stopped. It starts again by itself; ask again.")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect(alert).to_contain_text("The engine of 'tiny' stopped.")


def test_a_refusal_by_the_server_is_shown_in_its_words(open_page: OpenPage) -> None:
    opened = open_page("/")
    opened.watch.expected.append("404 (Not Found)")
    opened.page.evaluate("document.getElementById('model').value = 'plank'")
    ask(opened.page, "Who are you?")
    expect(opened.page.get_by_role("alert")).to_contain_text(
        "Model 'plank' is not configured; did you mean 'plant'?"
    )


def test_a_server_that_is_gone_is_said_so(open_page: OpenPage) -> None:
    opened = open_page("/")
    opened.watch.expected += ["ERR_INTERNET_DISCONNECTED", "Failed to load resource"]
    opened.page.context.set_offline(True)
    ask(opened.page, "Is anybody there?")
    expect(opened.page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    opened.page.context.set_offline(False)
    opened.page.get_by_role("button", name="Try again").click()
    expect(opened.page.locator(".turn:last-child .timing")).to_contain_text("answer")


def test_stopping_leaves_what_came_and_cancels_the_work(page: Page, site: Site) -> None:
    site.app.go_on.clear()
    ask(page, "wait for the gate, then write how the wheel is turned", finished=False)
    expect(page.locator(".answer")).to_contain_text("Turn the wheel")
    page.get_by_role("button", name="Stop the answer").click()
    expect(page.locator(".timing")).to_contain_text("stopped after")
    expect(page.locator(".answer")).to_contain_text("Turn the wheel")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    found = traces(site, status="cancelled", text="wait for the gate")
    assert [trace.status for trace in found] == ["cancelled"]


def test_thumbs_are_recorded_and_can_be_changed(page: Page, site: Site) -> None:
    ask(page, "Who may close the gate by hand?")
    good = page.get_by_role("button", name="This answer is good")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status")).to_have_text("Thank you, noted.")
    assert [trace.score for trace in traces(site, text="close the gate by hand")] == [1.0]
    page.get_by_role("button", name="This answer is bad").click()
    expect(good).to_have_attribute("aria-pressed", "false")
    page.get_by_role("link", name="Trace", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Who may close the gate by hand?")
    assert [trace.score for trace in traces(site, text="close the gate by hand")] == [-1.0]


def test_the_conversation_survives_a_reload_and_ends_when_asked_to(page: Page) -> None:
    ask(page, "How do I close the gate?")
    ask(page, "And how long does that take?")
    answers = page.locator("article").all_inner_texts()
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    assert page.locator("article").all_inner_texts() == answers
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.reload()
    expect(page.locator(".turn")).to_have_count(0)


def test_a_follow_up_is_sent_with_what_was_said(page: Page) -> None:
    ask(page, "How do I close the gate?")
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "And then?")
    messages = sent.value.post_data_json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[-1]["content"] == "And then?"
    assert messages[1]["content"].startswith("Turn the wheel clockwise")


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.type("please write how to close")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("the gate?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn article")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("heading", level=2)).to_have_text("please write how to close\nthe gate?")
    expect(page.locator("#question")).to_be_focused()
    while not page.evaluate("document.activeElement.matches('.cite')"):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#passage #cited")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".cite").last).to_be_focused()


def test_markup_anywhere_stays_text(page: Page) -> None:
    ask(page, "markup: what does the warden's note say? <img src=x onerror=alert(0)><script>alert(0)</script>")
    turn = page.locator(".turn:last-child")
    expect(turn.locator(".question")).to_contain_text("<img src=x onerror=alert(0)>")
    expect(turn.locator(".answer")).to_contain_text("<script>alert('answer')</script><img src=x onerror=alert(4)>")
    expect(turn.locator(".answer strong")).to_have_text("Bold")
    expect(turn.locator(".answer li")).to_have_count(2)
    expect(turn.locator(".answer pre code")).to_have_text("<b>code</b>")
    links = turn.locator(".answer a:not(.cite)")
    assert [link.get_attribute("href") for link in links.all()] == ["https://example.com/a"]
    assert turn.locator("img, script, svg:not(.icon), b").count() == 0
    turn.locator(".quote", has_text="notes.md").click()
    expect(page.locator("#passage #cited")).to_be_visible()
    assert page.locator("#passage-body").locator("img, script, svg, b").count() == 0


def test_no_letter_of_an_answer_is_lost_whatever_its_markup(page: Page) -> None:
    """Random texts of the characters that mean something in Markdown, rendered as they would stream in."""
    address = page.locator("script[src*='chat/chat.js']").get_attribute("src")
    lost = page.evaluate(
        """async (address) => {
            const { render } = await import(new URL("markdown.js", new URL(address, location)));
            const alphabet = ["*", "**", "_", "`", "[", "]", "(", ")", "#", ">", "- ", "1. ", " ", "\\n", "\\n\\n",
                              "a", "b", "🌊", "<", "[1]", "[2]"];
            const literal = () => undefined;
            const notes = { version: "draft", marks: [], unsupported: [], literal, makeMark: () => "" };
            const letters = (text) => text.replace(/[^ab🌊<]/gu, "");
            let seed = 7;
            const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
            const lost = [];
            for (let round = 0; round < 2000; round += 1) {
                const target = document.createElement("div");
                let text = "";
                for (let piece = 0; piece < 3; piece += 1) {
                    for (let n = random(12); n >= 0; n -= 1) text += alphabet[random(alphabet.length)];
                    render(target, text, notes);
                    if (!text.includes("```") && letters(target.textContent) !== letters(text)) lost.push(text);
                }
            }
            return lost;
        }""",
        address,
    )
    assert lost == []
