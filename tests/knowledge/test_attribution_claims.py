"""The sentences of a composed answer and the marks that belong to each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.answering.attribution import claims_of


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ("One is so. [1] Two is so [2].", [("One is so.", (1,)), ("Two is so.", (2,))]),
        ("One.[1][2] Two.", [("One.", (1, 2)), ("Two.", ())]),
        ("[3] First. Then.", [("First.", (3,)), ("Then.", ())]),
        ("It is so [1, 2; 3].", [("It is so.", (1, 2, 3))]),
        ("- a thing [1]\n- more [2]", [("- a thing", (1,)), ("- more", (2,))]),
        ("See [RFC 1] and [x].", [("See [RFC 1] and [x].", ())]),
    ],
)
def test_marks_belong_to_the_sentence_they_end(answer: str, claims: list[tuple[str, tuple[int, ...]]]) -> None:
    assert [(claim.text, claim.marks) for claim in claims_of(answer)] == claims


@given(st.text(alphabet="ab A.[]12 \n!?", max_size=120))
def test_claims_are_ranges_of_the_answer(answer: str) -> None:
    at = 0
    for claim in claims_of(answer):
        assert at <= claim.start <= claim.end <= len(answer)
        assert set(claim.text) <= set(answer[claim.start : claim.end])
        at = claim.end
