"""What a question asks for, and follow-ups that are searched with their context."""

import pytest

from penstock.exchange import Message
from penstock.knowledge.question import analyse, condense, leans_on_context


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many people live there?", "number"),
        ("What percentage of them voted?", "number"),
        ("When did it open?", "date"),
        ("In which year was it built?", "date"),
        ("Who signed the treaty?", "person"),
        ("Why did it fail?", "reason"),
        ("What is a penstock?", "other"),
        ("Wie viele sind es?", "other"),
    ],
)
def test_the_kind_of_answer(question: str, kind: str) -> None:
    assert analyse(question).kind == kind


def turns(*texts: str) -> list[Message]:
    return [Message(("user", "assistant")[at % 2], text) for at, text in enumerate(texts)]


def test_a_question_that_stands_alone_is_left_alone() -> None:
    asked = turns("Who founded the Duchy of Normandy?", "Rollo founded it.", "How deep is the Atlantic Ocean?")
    assert condense(asked) == "How deep is the Atlantic Ocean?"


@pytest.mark.parametrize(
    "follow_up", ["And when was he born?", "Why?", "What about his son?", "Where did they settle?"]
)
def test_a_follow_up_takes_its_context_along(follow_up: str) -> None:
    condensed = condense(turns("Who founded the Duchy of Normandy?", "Rollo founded it. [1]", follow_up))
    assert condensed.startswith(follow_up)
    assert {"Duchy", "Normandy", "Rollo"} <= set(condensed.split())


def test_a_chain_of_follow_ups_reaches_the_question_that_names_the_subject() -> None:
    condensed = condense(
        turns(
            "What does the spillway of the Hoover Dam do?",
            "It carries floods.",
            "Why?",
            "Safety.",
            "And how long is it?",
        )
    )
    assert "Hoover" in condensed
    assert "spillway" in condensed


def test_an_unrelated_earlier_turn_before_a_full_question_is_not_added() -> None:
    condensed = condense(
        turns(
            "Tell me about penguins.",
            "Birds.",
            "Who designed the Eiffel Tower?",
            "Koechlin.",
            "When was it opened?",
        )
    )
    assert "Eiffel" in condensed
    assert "penguins" not in condensed


def test_context_is_bounded_and_deterministic() -> None:
    asked = turns(" ".join(f"word{at}" for at in range(200)), "Yes.", "Why is it so?")
    assert condense(asked) == condense(asked)
    assert len(condense(asked).split()) <= 20


def test_nothing_asked_is_nothing() -> None:
    assert condense([Message("system", "Be brief.")]) == ""
    assert condense([Message("user", "  ")]) == ""


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("What did Rollo do before he died?", False),
        ("What did he do before that?", True),
        ("and the second one?", True),
        ("How is the generation number published after ingestion?", False),
    ],
)
def test_which_questions_lean(question: str, leans: bool) -> None:
    assert leans_on_context(question) is leans


@pytest.mark.parametrize("text", ["a" * 500_000, "word " * 100_000, "A" * 500_000, "it " * 100_000])
def test_a_long_conversation_takes_no_time_out_of_proportion(text: str) -> None:
    assert len(condense(turns(text, text, "Why is it so?"))) < 10_000
