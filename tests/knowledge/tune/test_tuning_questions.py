"""The questions of a race: where their quotes stand, how they are split, and what is made where there are none."""

import random

import pytest

from penstock.errors import ConfigError
from penstock.knowledge.calibrating import Golden
from penstock.knowledge.tune.questions import FEWEST, Span, Text, made_of, places, resolved

WORDS = [
    first + second for first in ("har", "lan", "fer", "quay", "tid") for second in ("bour", "tern", "ry", "mole")
]
CHANCE = random.Random(7)
SENTENCES = [f"{' '.join(CHANCE.sample(WORDS, 8)).capitalize()} {number}." for number in range(40)]
"""Different words, and a number that is rare."""


def test_a_quote_is_found_whatever_its_white_space_and_case() -> None:
    text = Text("a.md", "Returns are taken within 30 days\n  of purchase.")
    assert list(places(text, "Within 30 days of purchase")) == [Span("a.md", 18, 46)]
    assert list(places(text, "within 31 days")) == []
    assert list(places(text, "  ")) == []


def test_questions_that_nothing_answers_are_skipped_and_counted() -> None:
    texts = [Text("a.md", " ".join(SENTENCES))]
    golden = [Golden(question=f"Question {at}?", documents=("a.md",)) for at in range(30)]
    odd = [
        Golden(question="Says nothing?"),
        Golden(question="Quotes what is not there?", quote="a whale"),
        Golden(question="Of another document?", documents=("b.md",)),
        Golden(question="Not answerable?", documents=("a.md",), answerable=False),
    ]
    found = resolved([*golden, *odd], texts)
    assert (len(found.questions), found.skipped, found.origin) == (30, 4, "app")
    assert set(found.half(chooses=True)).isdisjoint(found.half(chooses=False))
    assert len(found.half(chooses=True)) + len(found.half(chooses=False)) == 30


def test_too_few_questions_are_refused_with_what_to_write() -> None:
    golden = [Golden(question=f"Question {at}?", documents=("a.md",)) for at in range(FEWEST - 1)]
    with pytest.raises(ConfigError, match="19 questions can be looked for") as refused:
        resolved([*golden, Golden(question="Says nothing?")], [Text("a.md", "Text.")])
    assert "1 more say neither" in refused.value.message
    assert '"quote"' in refused.value.hint


def test_questions_made_of_documents_leave_out_what_is_rare_and_know_their_sentence() -> None:
    text = Text("harbours.md", " ".join(SENTENCES))
    found = made_of([text])
    assert found.origin == "sentences" and FEWEST <= len(found.questions) <= len(SENTENCES)
    assert len({question.text for question in found.questions}) == len(found.questions)
    for question in found.questions:
        (span,) = question.spans
        assert text.text[span.start : span.end] in SENTENCES
        assert not any(character.isdigit() for character in question.text)
    assert [question.text for question in made_of([text]).questions] == [each.text for each in found.questions]
