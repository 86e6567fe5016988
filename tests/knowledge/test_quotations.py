"""Quotations and marks of a model, checked while they stream: what reaches the reader was looked up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from support.grounding import DOCUMENTS, encoder, hit

from penstock.knowledge.answering.attribution import attribute, claims_of
from penstock.knowledge.answering.checked import CheckedText
from penstock.knowledge.answering.gate import LONGEST_QUOTATION, QuotationGate
from penstock.knowledge.answering.verbatim import Verbatim
from penstock.knowledge.evidence import SentenceVectors, candidates_of
from penstock.models.encoders.sentence import SentenceEncoder

NORMANS, DAM = DOCUMENTS["normans.md"].removeprefix("# Normans\n\n"), DOCUMENTS["dam.txt"]
PASSAGES = (hit("Normans", NORMANS), hit("Dam", DAM))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


async def written(answer: str, embedder: SentenceEncoder, step: int = 7) -> CheckedText:
    """The answer as it comes out when the model writes a few characters at a time."""
    checked = CheckedText("What is known?", PASSAGES, SentenceVectors(embedder))
    shown = ""
    for at in range(0, len(answer), step):
        shown += (await checked.take(answer[at : at + step])).text
    shown += (await checked.end()).text
    assert shown == checked.text
    return checked


@given(st.text(alphabet='ab "“”«»[]12,.\n', max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_the_pieces_of_a_stream_are_the_stream(text: str, cuts: list[int]) -> None:
    gate, pieces, at = QuotationGate(), [], 0
    for cut in cuts:
        pieces += gate.feed(text[at : at + cut])
        at += cut
    pieces += gate.feed(text[at:])
    pieces += gate.end()
    assert "".join(piece.text for piece in pieces) == text
    whole = QuotationGate()
    kinds = [(piece.kind, piece.text) for piece in [*whole.feed(text), *whole.end()] if piece.kind != "text"]
    assert [(piece.kind, piece.text) for piece in pieces if piece.kind != "text"] == kinds


@given(st.text(alphabet='ab" ', max_size=3000))
def test_no_more_than_one_quotation_is_held_back(text: str) -> None:
    gate = QuotationGate()
    for character in text:
        list(gate.feed(character))
        assert gate.held <= LONGEST_QUOTATION


@pytest.mark.parametrize(
    ("quotation", "quote"),
    [
        ("It is 221 metres high", "It is 221 metres high"),
        ("it is 221   metres\nhigh and holds back Lake Ardor.", "It is 221 metres high and holds back Lake Ardor"),
        ("gave their name to Normandy,", "gave their name to Normandy"),
    ],
)
def test_a_quotation_is_found_as_the_document_has_it(quotation: str, quote: str) -> None:
    (found,) = Verbatim(PASSAGES).find(quotation)
    assert found.text == quote
    assert found.hit.text[found.start : found.end] == quote


def test_a_quotation_with_something_left_out_has_a_place_for_each_part() -> None:
    found = Verbatim(PASSAGES).find("Its power station … by the engineer Mara Lindqvist")
    assert [sentence.text for sentence in found] == ["Its power station", "by the engineer Mara Lindqvist"]
    assert Verbatim(PASSAGES).find("by the engineer Mara Lindqvist … Its power station") == []


@pytest.mark.parametrize(
    "quotation", ["It is 222 metres high", "21 metres high", "is 22", "orm", "swore fealty to Lake Ardor", "…", ""]
)
def test_what_is_not_verbatim_is_not_found(quotation: str) -> None:
    assert Verbatim(PASSAGES).find(quotation) == []


@given(st.data())
def test_every_run_of_whole_words_is_found(data: st.DataObject) -> None:
    spoken = DAM.split()
    start = data.draw(st.integers(0, len(spoken) - 3))
    end = data.draw(st.integers(start + 2, len(spoken)))
    wanted = " ".join(spoken[start:end])
    (sentence,) = Verbatim(PASSAGES).find(wanted)
    assert sentence.number == 2
    assert DAM[sentence.start : sentence.end] == sentence.text
    assert " ".join(sentence.text.split()).strip(".,") in wanted


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wrong_quotation_never_reaches_the_reader_as_one(embedder: SentenceEncoder) -> None:
    for step in (1, 5, 400):
        checked = await written('The text says "it is 900 metres high and very old" there.', embedder, step)
        assert checked.text == "The text says it is 900 metres high and very old there."
        assert checked.misquoted == 1
        assert [claim.text for claim in checked.found.unsupported] == [checked.text]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_right_quotation_is_cited_in_the_moment_it_closes(embedder: SentenceEncoder) -> None:
    checked = CheckedText("How high?", PASSAGES, SentenceVectors(embedder))
    before = await checked.take('The passage says: "It is 221 metres')
    assert before.text == "The passage says: "
    now = await checked.take(' high" and')
    (cited,) = now.quotations
    assert now.text == '"It is 221 metres high" and'
    assert (cited.number, cited.sentence.text) == (2, "It is 221 metres high")
    assert checked.text[cited.answer_start : cited.answer_end] == '"It is 221 metres high"'


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("The dam is 221 metres high. [1]", "The dam is 221 metres high. [2]"),
        ("The dam is 221 metres high [2].", "The dam is 221 metres high [2]."),
        ("The dam is 221 metres high. [9] So it is.", "The dam is 221 metres high. [2] So it is."),
        ("The dam cost 9 million. [2] It is 221 metres high.", "The dam cost 9 million. It is 221 metres high."),
        ('It is 5" [2] wide', 'It is 5" wide'),
        ("Yes. [1]", "Yes. [1]"),
        ("Yes. [8]", "Yes. "),
        ("An [aside] and [1", "An [aside] and [1"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_mark_is_right_or_gone_before_it_is_shown(
    embedder: SentenceEncoder, answer: str, shown: str
) -> None:
    assert (await written(answer, embedder)).text == shown


@pytest.mark.parametrize("answer", ['He said "it never ends', "«it never ends\nNew line» here", '"a\n"b'])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_quotation_that_never_closes_loses_its_mark(embedder: SentenceEncoder, answer: str) -> None:
    assert not set((await written(answer, embedder)).text) & set('"«')


@pytest.mark.asyncio(loop_scope="module")
async def test_the_words_of_the_question_may_be_quoted(embedder: SentenceEncoder) -> None:
    checked = CheckedText("What does blue moon mean?", PASSAGES, SentenceVectors(embedder))
    assert (await checked.take('They do not define "blue moon" at all.')).text == (
        'They do not define "blue moon" at all.'
    )


@pytest.mark.parametrize("step", [1, 3, 11, 1000])
@pytest.mark.asyncio(loop_scope="module")
async def test_sentences_supported_as_they_finish_are_those_of_the_whole(
    embedder: SentenceEncoder, step: int
) -> None:
    answer = (
        "Sure! The dam was finished in 1936. [2] It cost 5 million dollars. Dr. Lindqvist designed the power "
        "station [2]. The Normans came from Norway, Denmark and Iceland. [1]\n\n"
        "Penguins live in the southern hemisphere."
    )
    checked = await written(answer, embedder, step)
    claims, sentences = claims_of(checked.text), [*candidates_of(PASSAGES)]
    whole = await attribute(claims, "What is known?", sentences, SentenceVectors(embedder))
    assert [claim.text for claim in checked.found.unsupported] == [claim.text for claim in whole.unsupported]
    assert [each.claim for each in checked.found.supports] == [each.claim for each in whole.supports]
    assert checked.found.grounded == whole.grounded == 0.6


@pytest.mark.asyncio(loop_scope="module")
async def test_a_sentence_is_supported_before_the_answer_is_over(embedder: SentenceEncoder) -> None:
    checked = CheckedText("How high?", PASSAGES, SentenceVectors(embedder))
    assert (await checked.take("The dam is 221 metres high. ")).quotations == ()
    (cited,) = (await checked.take("It was finished ")).quotations
    assert "221 metres" in cited.sentence.text
