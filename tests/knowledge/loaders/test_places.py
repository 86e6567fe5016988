"""Where in a file a passage stands, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.loaders.places import Locator, Place, between


@pytest.mark.parametrize(
    ("first", "last", "both"),
    [
        ("page 3", "page 3", "page 3"),
        ("page 3", "page 4", "pages 3–4"),
        ("sheet Sales, row 2", "sheet Sales, row 40", "sheet Sales, rows 2–40"),
        ("sheet Sales, row 2", "sheet Costs, row 3", "sheet Sales, row 2 – sheet Costs, row 3"),
        ("attachment a.pdf, page 1", "attachment a.pdf, page 2", "attachment a.pdf, pages 1–2"),
        ("chapter “One”", "chapter “Two”", "chapter “One” – chapter “Two”"),
        ("message", "", "message"),
        ("", "message", "message"),
        ("", "", ""),
    ],
)
def test_two_places_become_one(first: str, last: str, both: str) -> None:
    assert between(first, last) == both


def test_a_range_stands_at_the_places_that_it_touches() -> None:
    locator = Locator("One.Two.Three.", [Place(0, "page 1"), Place(4, "page 2"), Place(8, "page 3")])
    assert locator.location(0, 4) == "page 1"
    assert locator.location(1, 5) == "pages 1–2"
    assert locator.location(8, 14) == "page 3"
    assert locator.location(0, 14) == "pages 1–3"


def test_rows_are_counted_from_the_heading_of_their_sheet_on() -> None:
    text = "Sales\n\na: 1\n\na: 2\n\na: 9\n\nCosts\n\nb: 1"
    places = [
        Place(0, "sheet Sales"),
        Place(7, "sheet Sales", "row", 2),
        Place(19, "sheet Sales", "row", 9),
        Place(25, "sheet Costs"),
        Place(32, "sheet Costs", "row", 2),
    ]
    locator = Locator(text, places)
    assert locator.location(0, 17) == "sheet Sales, rows 2–3"
    assert locator.location(7, 11) == "sheet Sales, row 2"
    assert locator.location(13, 23) == "sheet Sales, rows 3–9"
    assert locator.location(0, 5) == "sheet Sales"
    assert locator.location(25, len(text)) == "sheet Costs, row 2"


def test_what_is_before_the_first_place_stands_nowhere() -> None:
    assert Locator("Text. More.", [Place(6, "page 1")]).location(0, 5) == ""
    assert Locator("Text.", []).location(0, 5) == ""


@given(st.text(alphabet="ab\n", min_size=1, max_size=60), st.data())
def test_lines_are_those_that_an_editor_shows(text: str, data: st.DataObject) -> None:
    """In whatever order the ranges come."""
    locator = Locator(text, [Place(0, "", "line", 1)])
    for _ in range(5):
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        low, high = text.count("\n", 0, start) + 1, text.count("\n", 0, end - 1) + 1
        assert locator.location(start, end) == (f"line {low}" if low == high else f"lines {low}–{high}")
