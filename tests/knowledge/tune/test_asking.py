"""Questions that a model writes about passages."""

import pytest

from penstock.errors import ConfigError, UpstreamFailed
from penstock.exchange import Exchange
from penstock.knowledge.tune.asking import ASKED_ABOUT, FAILURES, questions_in, sample, written
from penstock.knowledge.tune.questions import Text
from penstock.testing.provider import FakeProvider

NAMES = [
    f"{first}{second}"
    for first in ("Ar", "Bel", "Cad", "Del", "Er")
    for second in ("dor", "mo", "run", "lin", "van")
]
FACTS = (
    "The harbour of {0} was built by fishermen from the northern islands, who had lost their boats in a storm. Its"
    " lighthouse burns every night, and the pilots of {0} know each rock between the mole and the open sea."
)
TEXTS = [Text(f"{name}.md", FACTS.format(name)) for name in NAMES]
ASKING = Exchange(id="req_1", trace_id="0" * 32, model="default")


def about(exchange: Exchange) -> list[str]:
    body = exchange.messages[0].text
    name = next(name for name in NAMES if f"harbour of {name} " in body)
    return [f"1. Who built the port of {name}?\n2. Who built the port of {name}?\nIt is a harbour.\n"]


async def test_each_question_is_about_the_passage_it_was_written_for_and_stands_once() -> None:
    told: list[tuple[int, int]] = []
    found = await written(
        FakeProvider(script=about).answer, ASKING, TEXTS, lambda done, total: told.append((done, total))
    )
    assert found.origin == "model" and len(found.questions) == len(NAMES)
    by_name = {text.document: text.text for text in TEXTS}
    for question in found.questions:
        (span,) = question.spans
        name = question.text.removesuffix("?").split()[-1]
        assert span.document == f"{name}.md" and name in by_name[span.document][span.start : span.end]
    assert told[-1] == (len(NAMES), len(NAMES))


async def test_a_model_that_writes_nothing_of_use_is_too_few_questions() -> None:
    with pytest.raises(ConfigError, match="0 questions can be looked for"):
        await written(FakeProvider("I cannot do that.").answer, ASKING, TEXTS, lambda done, total: None)


async def test_a_model_that_fails_again_and_again_is_asked_no_more() -> None:
    model = FakeProvider(UpstreamFailed("It is down."))
    with pytest.raises(UpstreamFailed, match="It is down"):
        await written(model.answer, ASKING, TEXTS, lambda done, total: None)
    assert len(model.exchanges) == FAILURES


def test_passages_that_stand_twice_are_not_asked_about_and_no_more_than_so_many() -> None:
    copies = [*TEXTS, Text("copy.md", TEXTS[0].text)]
    assert {text.document for text, _ in sample(copies)} == {text.document for text in TEXTS[1:]}
    many = [Text(f"{n}.md", FACTS.format(f"Port{n}")) for n in range(ASKED_ABOUT + 20)]
    assert len(sample(many)) == ASKED_ABOUT and sample(many) == sample(many)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("- Who built the harbour of Ardor?", ["Who built the harbour of Ardor?"]),
        ("What does the text say of the harbour?", []),
        ("Why?", []),
        ("What is the capital of France?", []),
        ("The harbour was built by fishermen.", []),
    ],
)
def test_what_is_no_question_about_the_passage_is_left_out(line: str, kept: list[str]) -> None:
    assert list(questions_in(line, FACTS.format("Ardor"))) == kept
