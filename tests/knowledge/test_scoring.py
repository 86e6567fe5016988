"""Candidates are read until the wanted ones cannot be beaten: what comes of it is what reading all would give."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.lexical import PassageWords, WordWeights, question_terms
from penstock.knowledge.search.mixing import NOTHING, Candidates
from penstock.knowledge.search.plan import Plan
from penstock.knowledge.search.scoring import scored
from penstock.knowledge.search.words import WordSearch
from penstock.knowledge.stores.records import Published, StoredChunk
from penstock.knowledge.values import EVERYTHING, Hit, Scope

WORDS = st.sampled_from(["ferry", "ferries.", "harbour", "pier.", "master", "It", "rains."])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=1, max_size=12)
QUESTIONS = ("Where is the ferry of the harbour master?", "Which pier has ferries?")


def stored(texts: list[str]) -> dict[int, StoredChunk]:
    return {
        row: StoredChunk(
            row=row,
            id=f"chk_{row}",
            document_id="doc_1",
            document="p",
            title="",
            heading=(),
            page=None,
            start=0,
            end=len(text),
            text=text,
        )
        for row, text in enumerate(texts, 1)
    }


def best(texts: list[str], cosines: list[float], weight: float, wanted: int) -> list[Hit]:
    """By both questions, over all the texts."""
    asked = [question_terms(question) for question in QUESTIONS]
    searches = tuple(
        WordSearch(terms, (1,) * len(terms), WordWeights.of(terms, range(1, len(terms) + 1), 20)) for terms in asked
    )
    plan = Plan(
        generation=Published(1, "f", len(texts)),
        scope=Scope(1, EVERYTHING, None),
        searches=searches,
        by_words=(NOTHING, NOTHING),
        vectors=np.zeros((0, 4), dtype=np.float32),
        average=40.0,
        weight=weight,
        limit=len(texts),
        wanted=wanted,
    )
    rows = np.arange(1, len(texts) + 1)
    candidates = Candidates(rows, np.array(cosines[: len(texts)], dtype=np.float32), np.zeros(len(texts)))
    return scored(plan, [candidates, candidates], stored(texts), PassageWords())


@given(
    TEXTS,
    st.lists(st.just(float("nan")) | st.floats(-1, 1), min_size=12, max_size=12),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 12),
)
def test_the_wanted_ones_are_those_that_reading_all_would_give(
    texts: list[str], cosines: list[float], weight: float, wanted: int
) -> None:
    everything = best(texts, cosines, weight, len(texts) + 1)
    assert best(texts, cosines, weight, wanted)[:wanted] == everything[:wanted]


def test_what_cannot_be_among_the_wanted_is_not_read() -> None:
    texts = ["The ferry of the harbour master is at the pier.", *["It rains."] * 11]
    assert [hit.chunk_id for hit in best(texts, [0.5] * 12, 0.5, 1)] == ["chk_1"]
