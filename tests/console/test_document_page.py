"""A document cut into headings and paragraphs: nothing is lost, and exactly the cited range is marked."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.console.document import BESIDE_CHAT, DocumentQuery, Window, page_of
from penstock.console.document_text import blocks, is_wrapped_prose, place_of
from penstock.console.rendering import Section
from penstock.errors import InvalidRequest
from penstock.knowledge.base import Document, DocumentRow, Heading

CRUMBS = (Section("manuals", "/knowledge/manuals"),)
WORDS = st.text(alphabet="ab. \n🌊", max_size=120)


def document(text: str, headings: tuple[Heading, ...] = (), page_starts: tuple[int, ...] = ()) -> Document:
    row = DocumentRow(
        id="doc_1",
        path="guide.txt",
        title="Guide",
        kind="text",
        status="ok",
        reason="",
        uploaded=False,
        size=len(text),
        characters=len(text),
        pages=len(page_starts) or None,
        chunks=1,
        modified_at=0,
        loaded_at=0,
        added_in=1,
        removed_in=None,
    )
    return Document(row=row, text=text, headings=headings, page_starts=page_starts)


@given(st.data(), WORDS)
def test_all_text_is_shown_and_only_the_cited_is_marked(data: st.DataObject, text: str) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=4)))
    headings = tuple(Heading(1 + at % 3, low, high) for at, (low, high) in enumerate(itertools.pairwise(cuts)))
    pages = tuple(sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=3))))
    runs = [
        run
        for block in blocks(
            document(text, headings[::2], pages), (0, len(text)), (start, end) if end > start else None
        )
        for run in block.runs
    ]
    assert "".join("".join(run.text.split()) for run in runs) == "".join(text.split())
    marked = "".join("".join(run.text.split()) for run in runs if run.cited)
    assert marked == "".join(text[start:end].split())
    firsts = sum(run.first for run in runs)
    assert firsts == 1 if marked else firsts <= 1


def test_headings_keep_their_order_and_pages_are_numbered_where_they_begin() -> None:
    text = "Guide\n\nFirst.\n\nPart\n\nSecond page."
    parts = document(text, (Heading(1, 0, 5), Heading(2, 15, 19)), (0, 21))
    found = [(block.level, block.page, block.runs[0].text) for block in blocks(parts, (0, len(text)), None)]
    assert found == [(0, 1, "First."), (2, None, "Part"), (0, 2, "Second page.")]


def test_the_place_names_the_headings_above_and_the_page() -> None:
    text = "One\n\na\n\nTwo\n\nb\n\nThree\n\nc"
    parts = document(text, (Heading(1, 0, 3), Heading(2, 8, 11), Heading(2, 16, 21)), (0, 16))
    assert place_of(parts, text.index("c")) == "One › Three · page 2"
    assert place_of(parts, text.index("b")) == "One › Two · page 1"


def test_a_long_document_is_shown_around_the_passage_with_links_to_the_rest() -> None:
    text = "\n\n".join(f"Paragraph {number} of a long document." for number in range(4000))
    start = text.index("Paragraph 2000 ")
    page = page_of(document(text), DocumentQuery(start=start, end=start + 14), BESIDE_CHAT, CRUMBS)
    shown = "".join(run.text for block in page.blocks for run in block.runs)
    assert len(shown) < 10_000
    assert [run.text for block in page.blocks for run in block.runs if run.cited] == ["Paragraph 2000"]
    assert page.earlier is not None
    assert page.later is not None
    assert page.later.startswith("/knowledge/manuals/doc_1?from=")


def test_reading_on_reaches_the_whole_document() -> None:
    text = "\n\n".join(f"Paragraph {number} ends here." for number in range(900))
    window, seen, at = Window(before=0, length=4000), [], 0
    while True:
        page = page_of(document(text), DocumentQuery(place=at), window, CRUMBS)
        seen += ["".join(run.text for run in block.runs) for block in page.blocks]
        if page.later is None:
            break
        at = int(page.later.rpartition("=")[2])
    assert seen == text.split("\n\n")


@pytest.mark.parametrize(("start", "end"), [(5, 5), (-1, 3), (0, 99)])
def test_a_range_that_the_text_does_not_have_is_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidRequest, match="has no characters"):
        page_of(document("0123456789"), DocumentQuery(start=start, end=end), BESIDE_CHAT, CRUMBS)


@pytest.mark.parametrize(
    ("text", "flows"),
    [
        ("One line.", True),
        ("A line that was wrapped by hand at about seventy characters, as mails are,\nand ends here.", True),
        ("- a list item that is long enough to look like wrapped prose at first sight\n- another", False),
        ("def f():\n    return 1", False),
        ("Roses are red,\nviolets are blue", False),
    ],
)
def test_line_breaks_are_kept_where_they_mean_something(text: str, flows: bool) -> None:
    assert is_wrapped_prose(text) is flows
