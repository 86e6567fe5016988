"""PDF: paragraphs out of lines, pages, headings, and every way in which a PDF can be none."""

import shutil
import time
from pathlib import Path

import pytest
from support.documents import pdf, scanned, together

from penstock.knowledge.loaders import ocr
from penstock.knowledge.loaders.base import LoadedDocument, ReadRules, Unloadable
from penstock.knowledge.loaders.kinds import parser_of
from penstock.knowledge.loaders.pdf import load_pdf

with_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="needs Tesseract: apt-get install tesseract-ocr"
)
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


def drawn(cells: list[tuple[int, int, str]], degrees: int = 0) -> bytes:
    """A page of words at places: points from the left, from the bottom, and the words. They are drawn turned to the
    left by so many degrees, on a page that is shown turned to the right by as many."""
    sheet = f"/MediaBox [-800 -800 800 800] /Rotate {degrees}".encode()
    page = pdf([[(12, "PLACE")]]).replace(b"/MediaBox [0 0 600 800]", sheet)
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    operators = " ".join(
        f"/F1 12 Tf {cos} {sin} {-sin} {cos} {x * cos - y * sin} {x * sin + y * cos} Tm ({text}) Tj"
        for x, y, text in cells
    )
    start, end = page.index(b"BT 50 780 Td"), page.index(b" ET")
    stream = f"BT {operators}".encode()
    return page[:start] + stream + page[end:]


TABLE = [
    (50, 700, "What a night costs in the harbour, for ships of every kind:"),
    (90, 660, "ship"),
    (250, 660, "nights"),
    (400, 660, "euros a night"),
    (50, 630, "ferry"),
    (200, 630, "1"),
    (430, 630, "100"),
    (50, 600, "sailing boat of any"),
    (50, 586, "length"),
    (200, 600, "4 or more"),
    (430, 600, "12"),
    (50, 570, "barge"),
    (430, 570, "20"),
    (50, 530, "Fees are paid in advance, at the office, by all ships."),
]


def test_a_table_stays_a_table_with_its_empty_cells_and_those_of_several_lines() -> None:
    assert blocks(load_pdf(drawn(TABLE))) == [
        ("paragraph", 0, "What a night costs in the harbour, for ships of every kind:"),
        (
            "table",
            0,
            "ship | nights | euros a night\nferry | 1 | 100\nsailing boat of any length | 4 or more | 12\n"
            "barge |  | 20",
        ),
        ("paragraph", 0, "Fees are paid in advance, at the office, by all ships."),
    ]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_that_is_turned_reads_as_it_is_shown(degrees: int) -> None:
    upright, turned = load_pdf(drawn(TABLE)), load_pdf(drawn(TABLE, degrees))
    assert blocks(turned) == blocks(upright)
    assert [kind for kind, _, _ in blocks(turned)] == ["paragraph", "table", "paragraph"]


@pytest.mark.parametrize(
    "cells",
    [
        [(50, 700 - 20 * n, "-") for n in range(4)] + [(90, 700 - 20 * n, "an item of a list") for n in range(4)],
        [(50, 700, "A heading"), (300, 700, "and its date")],
        [(50, 700 - 14 * n, "Words of the left column, which go on and on to its end") for n in range(5)]
        + [(400, 700 - 14 * n, "and those of the right one") for n in range(5)],
    ],
)
def test_lists_and_columns_of_text_are_no_tables(cells: list[tuple[int, int, str]]) -> None:
    assert [kind for kind, _, _ in blocks(load_pdf(drawn(cells)))] == ["paragraph"] * len(
        blocks(load_pdf(drawn(cells)))
    )


def test_a_pdf_says_where_its_passages_stand_and_who_wrote_it() -> None:
    document = load_pdf(pdf([RULES, RULES], title="Harbour"))
    assert [(place.start, place.label) for place in document.places] == [
        (document.page_starts[0], "page 1"),
        (document.page_starts[1], "page 2"),
    ]
    assert document.title == "Harbour" and document.metadata == {}


LARGE = [[(24, "Harbour rules"), (24, "All ships obey the master.")]]


@with_tesseract
def test_a_scanned_page_is_read_by_tesseract_and_marked() -> None:
    document = load_pdf(scanned(pdf(LARGE)))
    assert (document.status, document.reason) == (
        "ocr",
        "Page 1 was read by Tesseract from pictures; check what matters.",
    )
    assert "All ships obey the master." in document.text
    assert "tesseract" in parser_of("pdf")


@with_tesseract
def test_pages_with_text_are_not_looked_at_and_those_without_keep_their_number() -> None:
    document = load_pdf(together(pdf([RULES]), scanned(pdf(LARGE)), pdf([[(12, "The end.")]])))
    assert document.status == "ocr"
    assert document.reason.startswith("Page 2 was read")
    starts = [document.text[start:][:7] for start in document.page_starts]
    assert starts == ["Harbour", "Harbour", "The end"]


@pytest.fixture
def no_tesseract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_tesseract")
def test_without_tesseract_a_scan_is_no_text_and_the_reason_installs_it() -> None:
    with pytest.raises(Unloadable, match="apt-get install tesseract-ocr") as caught:
        load_pdf(scanned(pdf(LARGE)))
    assert caught.value.status == "no_text"
    assert caught.value.reason.startswith("Page 1 was not read: there are pictures instead of text.")
    assert "tesseract" not in parser_of("pdf")


@pytest.mark.usefixtures("no_tesseract")
def test_without_tesseract_a_document_with_scanned_pages_is_partial_and_names_them() -> None:
    scan = scanned(pdf(LARGE))
    document = load_pdf(together(scan, pdf([RULES]), scan, scan))
    assert document.status == "partial"
    assert document.reason.startswith("Pages 1, 3–4 were not read: there are pictures instead of text.")
    assert document.text.startswith("Harbour rules")


@with_tesseract
def test_pages_that_there_is_no_time_for_are_named() -> None:
    document = load_pdf(together(pdf([RULES]), scanned(pdf(LARGE))), ReadRules(time.monotonic()))
    assert document.status == "partial"
    assert document.reason == (
        "Page 2 was not read from pictures in the time for one file. Raise parse_seconds, or split it."
    )


@with_tesseract
def test_a_language_that_is_not_installed_is_named_by_its_package() -> None:
    rules = ReadRules(languages=("eng", "tlh_old"))
    document = load_pdf(together(pdf([RULES]), scanned(pdf(LARGE))), rules)
    assert document.status == "partial"
    assert document.reason == (
        "Page 2 was not read: Tesseract lacks a language of ocr_languages. Install it"
        " (`apt-get install tesseract-ocr-tlh-old`), or leave it out."
    )
    with pytest.raises(Unloadable, match="tesseract-ocr-tlh-old") as caught:
        load_pdf(scanned(pdf(LARGE)), rules)
    assert caught.value.status == "no_text"


@with_tesseract
def test_pictures_are_read_in_the_languages_that_are_wanted() -> None:
    document = load_pdf(scanned(pdf(LARGE)), ReadRules(languages=("eng",)))
    assert document.status == "ocr"
    assert document.text == load_pdf(scanned(pdf(LARGE))).text
    assert parser_of("pdf", ("eng",)) == f"{parser_of('pdf')} eng"
    assert parser_of("pdf", ("tlh_old",)) == parser_of("pdf")


@with_tesseract
def test_a_picture_that_shows_no_text_is_none() -> None:
    blank = ocr.Picture(300, 300, 300, bytes([255]) * 90_000)
    assert ocr.read(blank, 20.0) == []
    with pytest.raises(TimeoutError):
        ocr.read(blank, 0.001)


def test_a_pdf_that_was_cut_short_is_never_whole() -> None:
    data = pdf([RULES, RULES])
    for end in range(200, len(data) - 10, 97):
        try:
            document = load_pdf(data[:end])
        except Unloadable as problem:
            assert problem.status in ("corrupt", "no_text")
        else:
            assert document.status == "partial", end
