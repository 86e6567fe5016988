"""PDF: paragraphs out of lines, pages, headings, and every way in which a PDF can be none."""

import pytest
from support.documents import pdf

from penstock.knowledge.loaders.base import LoadedDocument, Unloadable
from penstock.knowledge.loaders.pdf import load_pdf

RULES = [
    (24, "Harbour rules"),
    (12, "The harbour master decides whether a ship may enter the harbour, and where it lies, and"),
    (12, "nobody else does. Ships over 40 metres wait outside until they are called in by radio."),
    (12, "Moorings are let by the night."),
    (12, "A night costs 12 euros for every ship, whatever its length, and it is paid in advance at the"),
    (12, "office."),
]


def blocks(document: LoadedDocument) -> list[tuple[str, int, str]]:
    return [(block.kind, block.level, document.text[block.start : block.end]) for block in document.blocks]


def test_lines_become_paragraphs_under_headings_by_the_size_of_their_letters() -> None:
    document = load_pdf(pdf([RULES]))
    assert blocks(document) == [
        ("heading", 1, "Harbour rules"),
        (
            "paragraph",
            0,
            "The harbour master decides whether a ship may enter the harbour, and where it lies, and nobody else"
            " does. Ships over 40 metres wait outside until they are called in by radio. Moorings are let by the"
            " night.",
        ),
        (
            "paragraph",
            0,
            "A night costs 12 euros for every ship, whatever its length, and it is paid in advance at the office.",
        ),
    ]
    assert document.title == "Harbour rules"
    assert document.page_starts == (0,)


def test_a_table_of_contents_says_which_lines_are_headings() -> None:
    pages = [[(12, "Rules"), (12, "All ships obey.")], [(12, "Fees"), (12, "All ships pay.")]]
    document = load_pdf(pdf(pages, title="Harbour", contents=[("Rules", 0), ("Fees", 1)]))
    assert [text for kind, _, text in blocks(document) if kind == "heading"] == ["Rules", "Fees"]
    assert document.title == "Harbour"
    assert [document.text[start:].split("\n")[0] for start in document.page_starts] == ["Rules", "Fees"]


def test_a_sentence_goes_on_over_the_page_and_running_heads_do_not_interrupt_it() -> None:
    pages = [
        [
            (12, "Harbour handbook 2026"),
            (12, "The office opens at eight and closes when the last"),
            (9, "Page 1 of 3"),
        ],
        [(12, "Harbour handbook 2026"), (12, "ship has left. Then it is dark."), (9, "Page 2 of 3")],
        [(12, "Harbour handbook 2026"), (12, "In winter it stays closed."), (9, "Page 3 of 3")],
    ]
    document = load_pdf(pdf(pages))
    assert document.text == (
        "The office opens at eight and closes when the last ship has left. Then it is dark.\n\n"
        "In winter it stays closed."
    )
    assert [document.text[start:][:7] for start in document.page_starts] == ["The off", "ship ha", "In wint"]


def test_a_page_without_text_keeps_its_number() -> None:
    document = load_pdf(pdf([[(12, "One.")], [], [(12, "Three.")]]))
    assert document.text == "One.\n\nThree."
    assert [document.text[start:] for start in document.page_starts] == ["One.\n\nThree.", "Three.", "Three."]


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (pdf([RULES], encrypted=True), "encrypted", "protected by a password"),
        (pdf([RULES])[:300], "corrupt", "broken or only a part"),
        (b"Dear Sir, this is a letter.", "corrupt", "not a PDF"),
        (pdf([[]]), "no_text", "There is no text in it"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 20, "corrupt", "broken"),
    ],
)
def test_what_cannot_be_read_says_why_and_what_to_do(data: bytes, status: str, reason: str) -> None:
    with pytest.raises(Unloadable, match=reason) as caught:
        load_pdf(data)
    assert caught.value.status == status
