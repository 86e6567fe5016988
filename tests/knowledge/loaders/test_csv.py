"""CSV and TSV: every row makes sense by itself, and files that are hardly CSV are read all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.loaders.base import TextBuilder, Unloadable
from penstock.knowledge.loaders.csv import delimiter_of, load_csv
from penstock.knowledge.loaders.places import Locator
from penstock.knowledge.loaders.rows import Row, add_rows


def test_each_row_says_the_names_of_its_columns_and_keeps_its_number() -> None:
    data = b'ship,euros,note\nferry,100,\n\nboat,12,"paid,\nin advance"\n'
    document = load_csv(data)
    assert (
        document.text
        == "ship | euros | note\n\nship: ferry; euros: 100\n\nship: boat; euros: 12; note: paid, in advance"
    )
    locator = Locator(document.text, document.places)
    assert [locator.location(block.start, block.end) for block in document.blocks] == ["row 1", "row 2", "row 4"]
    assert locator.location(0, len(document.text)) == "rows 1–4"


def test_a_file_that_says_its_delimiter_is_believed_and_keeps_the_numbers_of_its_rows() -> None:
    document = load_csv("\ufeffsep=^\r\nship^euros, a night\r\nferry^100,50\r\n".encode())
    assert document.text == "ship | euros, a night\n\nship: ferry; euros, a night: 100,50"
    locator = Locator(document.text, document.places)
    assert locator.location(0, len(document.text)) == "rows 2–3"
    assert load_csv(b"sep=rate,x\n1,2").text == "sep=rate | x\n\nsep=rate: 1; x: 2"
    assert load_csv(b"sep=;").text == ""


def test_long_cells_get_lines_of_their_own() -> None:
    answer = "Ships wait outside until they are called in. " * 4
    document = load_csv(f'question,answer\n"How do I get in?","{answer}"\n'.encode())
    assert document.text == f"question | answer\n\nquestion: How do I get in?\nanswer: {answer.strip()}"
    assert [block.kind for block in document.blocks] == ["table", "paragraph"]


@pytest.mark.parametrize(
    ("source", "delimiter"),
    [
        ("a;b;c\n1,5;2;3\n", ";"),
        ("a\tb\n1\t2", "\t"),
        ("a|b|c\n1|2|3", "|"),
        ("a,b\n1,2", ","),
        ("alone\nlines", ","),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_all_lines_alike(source: str, delimiter: str) -> None:
    assert delimiter_of(source) == delimiter


def test_a_title_above_the_names_is_no_row_of_names() -> None:
    document = load_csv(b"Fees of 2026,,\n\nship,nights,euros\nferry,1,100\n")
    assert document.text == "Fees of 2026\n\nship | nights | euros\n\nship: ferry; nights: 1; euros: 100"


def test_figures_alone_have_no_names() -> None:
    assert load_csv(b"1,2\n3,4\n").text == "1 | 2\n\n3 | 4"
    assert load_csv(b"a,b\n").text == "a | b"


def test_a_quote_that_never_closes_is_read_as_text_and_said_to_be() -> None:
    document = load_csv(b'a,b\n1,"open\n' + b"x,\n" * 70_000)
    assert document.status == "partial"
    assert "is no CSV (field larger than field limit" in document.reason
    assert document.text.startswith("a,b\n1,")


def test_binary_data_is_said_to_be_such() -> None:
    with pytest.raises(Unloadable, match="not text but binary data"):
        load_csv(b"\x00\x01\x02" * 100)


@given(st.lists(st.lists(st.text(alphabet="ab1 ;\n", max_size=6), max_size=4), max_size=6))
def test_every_cell_of_every_row_is_in_the_text_and_stands_in_its_row(rows: list[list[str]]) -> None:
    builder = TextBuilder()
    found = [Row(number, tuple(cell.strip() for cell in cells)) for number, cells in enumerate(rows, 1)]
    places = add_rows(builder, iter(found))
    locator = Locator(builder.text(), places)
    filled = [row for row in found if any(row.cells)]
    for row, block in zip(filled, builder.blocks, strict=True):
        text = builder.text()[block.start : block.end]
        assert all(" ".join(cell.split()) in text for cell in row.cells)
        assert locator.location(block.start, block.end) == f"row {row.number}"
