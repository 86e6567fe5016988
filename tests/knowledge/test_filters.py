"""What a filter means, and what is said about one that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.knowledge.filters import Compare, Not, matches, parse_filter

HR = {"team": "hr", "year": 2021, "draft": False, "tags": ("leave", "pay"), "title": "Parental leave"}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"team": "hr"}, True),
        ({"team": "it"}, False),
        ({"team": ["it", "hr"]}, True),
        ({"year": {"gte": 2021, "lt": 2022}}, True),
        ({"year": {"gt": 2021}}, False),
        ({"year": 2021.0}, True),
        ({"year": "2021"}, False),
        ({"year": {"gte": "2020"}}, False),
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"tags": "pay"}, True),
        ({"tags": {"contains": "leave"}}, True),
        ({"title": {"contains": "leave"}}, True),
        ({"tags": {"nin": ["pay"]}}, False),
        ({"missing": {"ne": "x"}}, True),
        ({"missing": "x"}, False),
        ({"missing": {"exists": False}}, True),
        ({"team": {"exists": True}}, True),
        ({"or": [{"team": "it"}, {"year": 2021}]}, True),
        ({"and": [{"team": "it"}, {"year": 2021}]}, False),
        ({"not": {"team": "it"}}, True),
        ({"team": "hr", "year": {"lt": 2000}}, False),
        ({}, True),
        ({"type": "eq", "key": "team", "value": "hr"}, True),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "gte", "key": "year", "value": 2030},
                    {"type": "in", "key": "team", "value": ["hr"]},
                ],
            },
            True,
        ),
    ],
)
def test_meaning(filter: object, expected: bool) -> None:
    assert matches(parse_filter(filter), HR) is expected


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        (["team"], "is no object"),
        ({"team": {"like": "h"}}, "'like' is no comparison"),
        ({"team": None}, "needs a text, a number or a boolean, not None"),
        ({"team": {}}, "compared with nothing"),
        ({"team": {"in": "hr"}}, "needs a list"),
        ({"team": {"exists": "yes"}}, "needs true or false"),
        ({"year": {"gt": True}}, "needs a number or a text"),
        ({"or": []}, "needs a list of filters"),
        ({"": 1}, "is no name of a field"),
        ({"type": "eq", "key": 3, "value": 1}, "3 is no name of a field"),
        ({"or": [{"a": number} for number in range(201)]}, "more than 200 parts"),
        ({f"a{number}": number for number in range(201)}, "more than 200 parts"),
    ],
)
def test_what_cannot_be_read(filter: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse_filter(filter)


def test_nesting_is_bounded() -> None:
    filter: object = {"a": 1}
    for _ in range(20):
        filter = {"not": filter}
    with pytest.raises(InvalidRequest, match="nested more than 8 deep"):
        parse_filter(filter)


SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b"]))
METADATA = st.dictionaries(st.sampled_from("xyz"), st.one_of(SCALARS, st.tuples(st.sampled_from("ab"))))


@given(METADATA, st.sampled_from("xyz"), SCALARS)
def test_opposites(metadata: dict[str, object], field: str, value: object) -> None:
    for one, other in (("eq", "ne"), ("in", "nin")):
        operand = (value,) if one == "in" else value
        is_one = matches(Compare(field, one, operand), metadata)  # type: ignore[arg-type]
        assert is_one is not matches(Compare(field, other, operand), metadata)  # type: ignore[arg-type]
        assert is_one is not matches(Not(Compare(field, one, operand)), metadata)  # type: ignore[arg-type]
