"""How many passages are enough: fewer where nothing is lost but by chance, more where others find more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.knowledge_tune import depths_in
from penstock.errors import ConfigError
from penstock.knowledge.tune.depth import DEPTHS, Depth, depths_of, enough, noise
from penstock.knowledge.tune.questions import Questions, Span, TuneQuestion
from penstock.knowledge.tune.scoring import Found

QUESTIONS = Questions(
    tuple(TuneQuestion(f"question {number}", ("a.md",), (Span("a.md", 0, 9),)) for number in range(200))
)


def found(*places: int) -> list[Found]:
    """Ranks of right passages, given to the questions in turn."""
    return [Found(0, None, 1.0, places[at % len(places)]) for at in range(len(QUESTIONS.questions))]


def chosen(present: int, *places: int) -> int:
    return enough(depths_of(found(*places), QUESTIONS, (*DEPTHS, present)), QUESTIONS, present)


def test_what_is_always_first_needs_the_fewest() -> None:
    assert chosen(4, 1) == 2


def test_questions_without_quotes_choose_nothing() -> None:
    questions = Questions(tuple(TuneQuestion(f"question {number}", ("a.md",), ()) for number in range(200)))
    assert depths_of(found(1), questions, DEPTHS) == ()
    assert enough((), questions, 4) == 4


def test_what_is_found_late_takes_more() -> None:
    assert chosen(4, *range(1, 9)) == 8


def test_a_few_that_are_found_late_are_chance() -> None:
    assert chosen(4, *([1, 2] * 44), *([0] * 10), 9, 1) == 2


def test_what_is_never_found_says_nothing_for_more() -> None:
    assert chosen(4, 0, 1) == 2


@pytest.mark.parametrize(
    ("held_out_one", "held_out_four", "held_out_ten", "present", "expected"),
    [
        (0.5, 0.9, 0.9, 4, 4),
        (0.89, 0.9, 0.9, 4, 1),
        (0.9, 0.9, 0.9, 10, 1),
    ],
)
def test_the_questions_held_out_may_refuse_it(
    held_out_one: float, held_out_four: float, held_out_ten: float, present: int, expected: int
) -> None:
    depths = [Depth(1, 0.9, held_out_one), Depth(4, 0.9, held_out_four), Depth(10, 0.9, held_out_ten)]
    assert enough(depths, QUESTIONS, present) == expected


def test_more_must_find_more_where_it_did_not_choose() -> None:
    assert enough([Depth(2, 0.5, 0.8), Depth(8, 0.9, 0.8)], QUESTIONS, 2) == 2
    assert enough([Depth(2, 0.5, 0.8), Depth(8, 0.9, 0.81)], QUESTIONS, 2) == 8


@given(st.lists(st.integers(0, 12), min_size=1, max_size=200), st.integers(1, 20))
def test_shares_grow_with_the_passages_and_the_choice_is_one_of_them(places: list[int], present: int) -> None:
    depths = depths_of(found(*places), QUESTIONS, (*DEPTHS, present))
    assert [each.choosing for each in depths] == sorted(each.choosing for each in depths)
    assert enough(depths, QUESTIONS, present) in {each.passages for each in depths}


@given(st.floats(0, 1), st.integers(10, 1000))
def test_noise_is_never_nothing_and_shrinks_with_the_questions(share: float, questions: int) -> None:
    assert 0 < noise(share, 100 * questions) < noise(share, questions) < 0.2


@pytest.mark.parametrize("text", ["0", "21", "2,", "two", "2;4", "-1", "2,,4"])
def test_what_are_no_numbers_of_passages_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be numbers of passages from 1 to 20"):
        depths_in(text)


def test_depths_are_as_they_are_given() -> None:
    assert (depths_in("2, 8"), depths_in("")) == ((2, 8), DEPTHS)
