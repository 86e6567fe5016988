"""Evidence: which sentences are candidates, that every quote is verbatim, and how they are chosen."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.abstain import Fit, calibration, probability, specific_share
from penstock.knowledge.evidence import (
    EMBEDDED,
    EMBEDDED_CHARACTERS,
    Evidence,
    EvidenceFinder,
    SentenceVectors,
    affordable,
    candidates_of,
)
from penstock.knowledge.question import analyse
from penstock.knowledge.ranking import LinearModel, Measures, Neighbourhood, idf_of, measure
from penstock.knowledge.terms import terms
from penstock.knowledge.values import Hit, SearchResult
from penstock.testing.embedder import FakeEmbedder

NOWHERE = Neighbourhood(frozenset(), frozenset(), frozenset(), 0.0, 0.0)


def hit(text: str, start: int = 0, heading: tuple[str, ...] = (), title: str = "doc") -> Hit:
    return Hit(
        chunk_id=f"chk_{start}_{len(text)}",
        document_id="doc_1",
        document="doc.txt",
        title=title,
        heading=heading,
        page=None,
        start=start,
        end=start + len(text),
        text=text,
        score=0.5,
        vector_score=0.5,
        text_score=0.5,
    )


def quotes(text: str, heading: tuple[str, ...] = ()) -> list[str]:
    return [sentence.text for sentence in candidates_of([hit(text, heading=heading)])]


@given(st.text(alphabet="ab Z.!?\n-*#1()|é。", max_size=300), st.integers(0, 50))
def test_every_candidate_is_verbatim(text: str, start: int) -> None:
    document = "x" * start + text
    for sentence in candidates_of([hit(text, start=start)]):
        assert document[sentence.start : sentence.end] == sentence.text
        assert sentence.text == sentence.text.strip()


async def test_a_row_of_a_table_is_quoted_alone_and_knows_its_columns() -> None:
    text = (
        "Every route says who may call it.\n\nRoute | What it does | Role\n"
        "POST /rollback | Shows an earlier generation (by default the one before). It stays. | admin\n"
        "POST /publish | Shows a generation, by default the newest. | admin\n\nOther words."
    )
    found = {sentence.text: sentence for sentence in candidates_of([hit(text)])}
    row = "POST /rollback | Shows an earlier generation (by default the one before). It stays. | admin"
    assert row in found and "POST /publish | Shows a generation, by default the newest. | admin" in found
    assert text[found[row].start : found[row].end] == row
    last = found["POST /publish | Shows a generation, by default the newest. | admin"]
    assert set(terms("Route Role")) <= last.around.before
    assert not set(terms("rollback")) & last.around.before
    finder = EvidenceFinder(SentenceVectors(FakeEmbedder()), calibration())
    vector = (await FakeEmbedder().embed(["x"])).vectors[0]
    result = SearchResult(hits=(hit(text),), generation=1, vector=vector)
    evidence = await finder.find("How do I show an earlier generation, by rollback?", result)
    assert evidence.best(1)[0].sentence.text == row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- Take one.\n- Take two.", ["Take one.", "Take two."]),
        ("1. First.\n2) Second.", ["First.", "Second."]),
        ("Why is it so? Because.", ["Because."]),
        ("# Setup\nRun it.", ["Run it."]),
        ("|---|---|\n| a | b |", ["| a | b |"]),
        ("Same. Same.", ["Same."]),
    ],
)
def test_what_can_be_quoted(text: str, expected: list[str]) -> None:
    assert quotes(text) == expected


def test_headings_are_context_and_no_quotes() -> None:
    sentences = list(candidates_of([hit("Deadlines\n\nThirty days.", heading=("Returns", "Deadlines"))]))
    assert [sentence.text for sentence in sentences] == ["Thirty days."]
    assert {"return", "deadlin"} & sentences[0].around.passage


async def found(question: str, *texts: str, embedder: FakeEmbedder) -> Evidence:
    vector = (await embedder.embed([question])).vectors[0]
    result = SearchResult(hits=tuple(hit(text) for text in texts), generation=1, vector=vector)
    return await EvidenceFinder(SentenceVectors(embedder), calibration()).find(question, result)


async def test_the_kind_of_answer_that_is_asked_for_comes_first() -> None:
    text = "The bridge was opened by the mayor. The bridge was opened in 1931. The bridge is long."
    evidence = await found("When was the bridge opened?", text, embedder=FakeEmbedder())
    assert evidence.ranked[0].sentence.text == "The bridge was opened in 1931."
    assert sum(ranked.share for ranked in evidence.ranked) == pytest.approx(1)


async def test_sentences_of_one_passage_are_quoted_in_its_order() -> None:
    text = "Rollo was buried there. Rollo was buried in Rouen. Rain fell."
    evidence = await found("Where was Rollo buried, in Rouen?", text, embedder=FakeEmbedder())
    assert evidence.ranked[0].sentence.text == "Rollo was buried in Rouen."
    chosen = [ranked.sentence.text for ranked in evidence.best(2)]
    assert chosen == ["Rollo was buried there.", "Rollo was buried in Rouen."]


async def test_only_the_best_few_are_embedded_and_none_twice() -> None:
    text = " ".join(f"Sentence number {at} is about rivers." for at in range(40))
    embedder = FakeEmbedder()
    await found("Which rivers?", text, embedder=embedder)
    assert len(embedder.batches[-1]) == EMBEDDED
    vectors = SentenceVectors(embedder)
    first, read = await vectors.of(["a b", "c", "a b"])
    again, reread = await vectors.of(["c", "a b"])
    assert (read, reread) == (3, 0)
    assert np.array_equal(first[0], again[1])


async def test_no_passages_are_no_evidence() -> None:
    result = SearchResult(hits=(), generation=1, vector=np.zeros(64, np.float32))
    evidence = await EvidenceFinder(SentenceVectors(FakeEmbedder()), calibration()).find("Why?", result)
    assert (evidence.ranked, evidence.best(2), evidence.probability) == ((), (), 0.0)


def test_rare_words_weigh_more() -> None:
    idf = idf_of(["river water", "river stone", "river fish"])
    assert idf("fish") > idf("river") > 0
    assert idf("absent") > idf("fish")


@pytest.mark.parametrize(
    ("question", "sentence", "kind"),
    [
        ("When did it open?", "It opened in May 1936.", "date"),
        ("How many turbines turn?", "Seventeen turbines turn.", "number"),
        ("Who built it?", "It was built by Mara Lindqvist.", "person"),
        ("Why did it close?", "It closed because the river rose.", "reason"),
    ],
)
def test_a_sentence_has_what_is_asked_for_or_has_not(question: str, sentence: str, kind: str) -> None:
    idf = idf_of([sentence])
    assert getattr(measure(analyse(question), sentence, NOWHERE, idf), kind) == 1
    assert getattr(measure(analyse(question), "it is known to all.", NOWHERE, idf), kind) == -1


def test_words_before_count_where_the_sentence_lacks_them() -> None:
    around = Neighbourhood(frozenset(terms("The dam is old.")), frozenset(), frozenset(), 0.0, 0.0)
    measures = measure(analyse("How old is the dam?"), "It was built by hand.", around, idf_of(["The dam is old."]))
    assert measures.coverage == 0
    assert measures.before == measures.pointing_back == pytest.approx(1)


def test_the_parameters_that_ship_fit_the_measures_and_none_counts_against() -> None:
    parameters = calibration()
    for model, kind in ((parameters.ranking, Measures), (parameters.answered, Fit)):
        assert set(model.weights) <= set(kind.__struct_fields__)
        assert all(weight > 0 for weight in model.weights.values())
    assert 0 < parameters.threshold < 0.5


@given(st.floats(-1e6, 1e6), st.floats(-1, 1))
def test_a_probability_is_one(bias: float, cosine: float) -> None:
    fit = Fit(cosine=cosine, passage_cosine=0.0, context=0.0, specific=1.0)
    assert 0.0 <= probability(LinearModel({"cosine": 2.0}, bias), fit) <= 1.0
    better = msgspec.structs.replace(fit, cosine=cosine + 0.5)
    assert probability(LinearModel({"cosine": 2.0}, bias), better) >= probability(
        LinearModel({"cosine": 2.0}, bias), fit
    )


def test_names_and_numbers_that_no_passage_has_are_missed() -> None:
    passages = set(terms("The Normans swore fealty in 911 under Rollo."))
    idf = idf_of(["The Normans swore fealty in 911 under Rollo."])
    assert specific_share("Did the Normans swear fealty in 911?", passages, idf) == 1
    assert specific_share("Did the Normans swear fealty in 1066?", passages, idf) < 1
    assert specific_share("Did the Noormans under Peter swear?", passages, idf) < 0.6
    assert specific_share("why did they?", passages, idf) == 1


@given(st.lists(st.integers(1, 3000), max_size=12))
def test_what_is_embedded_is_bounded_but_for_the_best_four(lengths: list[int]) -> None:
    kept = affordable(["x" * length for length in lengths])
    assert kept >= min(4, len(lengths))
    assert kept <= 4 or sum(lengths[:kept]) <= EMBEDDED_CHARACTERS
    assert kept == len(lengths) or sum(lengths[: kept + 1]) > EMBEDDED_CHARACTERS
