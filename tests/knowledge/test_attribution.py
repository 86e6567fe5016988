"""Each sentence of a composed answer: its marks, what supports it, and what nothing supports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import DOCUMENTS, encoder

from penstock.knowledge.answering.attribution import Attribution, attribute, claims_of
from penstock.knowledge.evidence import SentenceVectors, candidates_of
from penstock.knowledge.values import Hit
from penstock.models.encoders.sentence import SentenceEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")

NORMANS, DAM = DOCUMENTS["normans.md"].removeprefix("# Normans\n\n"), DOCUMENTS["dam.txt"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


def hit(title: str, text: str) -> Hit:
    return Hit(
        chunk_id=f"chk_{title}",
        document_id=f"doc_{title}",
        document=f"{title}.txt",
        title=title,
        heading=(),
        page=None,
        start=0,
        end=len(text),
        text=text,
        score=0.5,
        vector_score=0.5,
        text_score=0.5,
    )


async def attributed(answer: str, embedder: SentenceEncoder, question: str = "What is known?") -> Attribution:
    """Passage 1 is about the Normans, passage 2 about the dam."""
    sentences = [*candidates_of([hit("Normans", NORMANS), hit("Dam", DAM)])]
    return await attribute(claims_of(answer), question, sentences, SentenceVectors(embedder))


@pytest.mark.parametrize(
    ("answer", "number", "quote"),
    [
        ("The Normans gave Normandy its name. [1]", 1, "gave their name to Normandy"),
        ("The Normans gave Normandy its name.", 1, "gave their name to Normandy"),
        ("The dam's power station was designed by Mara Lindqvist [2].", 2, "Mara Lindqvist"),
        ("The dam's power station was designed by Mara Lindqvist [1].", 2, "Mara Lindqvist"),
        ("The dam's power station was designed by Mara Lindqvist [7].", 2, "Mara Lindqvist"),
        ("The Grand Valley Dam is 221 metres high.", 2, "It is 221 metres high"),
        ("There are 17 turbines below the wall.", 2, "Seventeen turbines"),
        ("Rollo swore fealty to King Charles III in 911.", 1, "swore fealty"),
    ],
)
async def test_a_true_sentence_gets_the_passage_that_says_it(
    embedder: SentenceEncoder, answer: str, number: int, quote: str
) -> None:
    found = await attributed(answer, embedder)
    assert found.unsupported == ()
    assert [support.sentence.number for support in found.supports] == [number]
    assert quote in found.supports[0].sentence.text
    claim = found.supports[0].claim
    assert answer[claim.start : claim.end] == answer


@pytest.mark.parametrize(
    "answer",
    [
        "The Grand Valley Dam is 350 metres high. [2]",
        "The dam was finished in 1937. [2]",
        "The power station was designed by Peter Holm. [2]",
        "Rollo swore fealty to King Louis in 911. [1]",
        "The dam supplies electricity to three million homes. [2]",
        "Penguins live in the southern hemisphere. [1]",
    ],
)
async def test_a_false_or_foreign_sentence_is_unsupported(embedder: SentenceEncoder, answer: str) -> None:
    found = await attributed(answer, embedder)
    assert found.supports == ()
    assert [claim.text for claim in found.unsupported] == [answer[:-4]]


async def test_each_sentence_stands_for_itself(embedder: SentenceEncoder) -> None:
    answer = "Sure! The dam was finished in 1936. [2] It cost 5 million. [2] The Normans came from Norway [1, 2]."
    found = await attributed(answer, embedder)
    assert [support.sentence.number for support in found.supports] == [2, 1]
    assert [answer[claim.start : claim.end] for claim in found.unsupported] == ["It cost 5 million. [2]"]


@pytest.mark.parametrize("answer", ["", "Yes.", "Here is what the passages say:", "Is it?", "[1]", "OK. [2]"])
async def test_what_claims_nothing_needs_no_support(embedder: SentenceEncoder, answer: str) -> None:
    found = await attributed(answer, embedder)
    assert (found.supports, found.unsupported) == ((), ())
