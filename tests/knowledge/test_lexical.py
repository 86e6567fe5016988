"""The words of a question: nothing in it is an operator, and passages are weighed by what they hold."""

import sqlite3

from hypothesis import example, given
from hypothesis import strategies as st

from penstock.knowledge.lexical import (
    MAX_TERMS,
    PassageWords,
    WordWeights,
    most_share,
    question_terms,
    saturated,
)
from penstock.knowledge.stores.records import StoredChunk


def index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE f USING fts5 (t, tokenize='porter unicode61 remove_diacritics 2')")
    connection.execute("INSERT INTO f VALUES ('the harbour master decides in Größe and 東京 港 at 3.5 euros')")
    return connection


INDEX = index()


@given(st.text(max_size=80))
@example('"')
@example("a\0b")
@example('NEAR(a b, 2) AND "x" OR NOT {c} : d* ^e + -f')
@example("t:harbour")
@example("'; DROP TABLE f; --")
@example("\ud800 lone")
@example("🧑‍🚀 ½ ² Ⅷ ｆｕｌｌ")
def test_any_question_can_be_looked_up(question: str) -> None:
    for term in question_terms(question):
        INDEX.execute("SELECT group_concat(rowid) FROM f WHERE f MATCH ?", (term.phrase,)).fetchall()


def test_telling_words_are_looked_up_once_and_the_others_not() -> None:
    assert [term.phrase for term in question_terms("What does the Harbour-Master decide for the harbour?")] == [
        '"Harbour"',
        '"Master"',
        '"decide"',
    ]
    assert [term.phrase for term in question_terms("Who was it?")] == ['"Who"', '"was"', '"it"']
    assert question_terms("?! …") == ()


def test_numbers_and_apostrophes_are_phrases_as_the_index_has_them() -> None:
    assert [term.phrase for term in question_terms("harbour's 3.5 euros")] == ['"harbour s"', '"3 5"', '"euros"']
    for question in ("3.5", "GRÖßE", "größe", "harbours"):
        expression = " OR ".join(term.phrase for term in question_terms(question))
        assert INDEX.execute("SELECT count(*) FROM f WHERE f MATCH ?", (expression,)).fetchone() == (1,), question


def test_an_endless_question_is_cut() -> None:
    assert len(question_terms(" ".join(f"word{n}" for n in range(10_000)))) == MAX_TERMS


def passage(text: str, *heading: str, row: int = 1) -> StoredChunk:
    return StoredChunk(
        row=row,
        id="c",
        document_id="d",
        document="p",
        title="t",
        heading=heading,
        page=None,
        start=0,
        end=0,
        text=text,
    )


def test_words_that_stand_together_count_for_more_than_words_apart() -> None:
    question = question_terms("When does the ferry leave Warsaw?")
    weights = WordWeights.of(question, [3, 5, 1], 100)
    words = PassageWords()
    together = words.share(passage("Ships come. The ferry leaves Warsaw at nine.", row=1), weights, 45)
    apart = words.share(passage("The ferry is old. They leave. Warsaw is large.", row=2), weights, 45)
    assert 0 < apart < together < 1
    assert words.share(passage("Nothing of the kind.", row=3), weights, 45) == 0


def test_headings_speak_for_every_sentence_below_them() -> None:
    weights = WordWeights.of(question_terms("mooring fees"), [1, 1], 10)
    words = PassageWords()
    below = words.share(passage("They are twelve euros.", "Moorings", "Fees"), weights, 22)
    assert below > words.share(passage("They are twelve euros. Moorings. Fees.", row=2), weights, 22)


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 40), st.floats(0, 1000))
def test_shares_stay_within_bounds(counts: list[int], passages: int, average: float) -> None:
    question = question_terms(" ".join(f"word{n}" for n in range(len(counts))))
    weights = WordWeights.of(question, counts[: len(question)], passages)
    assert 0 <= PassageWords().share(passage("word1 word2 and word3."), weights, average) <= 1.0000001


@given(st.integers(0, 1000), st.floats(0, 100))
def test_a_word_more_never_counts_less_and_a_long_passage_never_more(count: int, relative: float) -> None:
    assert 0 <= saturated(count, relative) <= saturated(count + 1, relative) <= 1
    assert saturated(count, relative + 1) <= saturated(count, relative)


VOCABULARY = st.sampled_from(
    [
        "ferry",
        "ferries",
        "Warsaw.",
        "organised",
        "organise",
        "Größe",
        "größen",
        "1,200",
        "boss's",
        "bosses.",
        "the",
        "leaves",
        "|",
        "富士山",
        "relational",
        "ties",
    ]
)
TEXTS = st.lists(VOCABULARY, max_size=30).map(" ".join)


@given(TEXTS | st.text(max_size=60), TEXTS | st.text(max_size=60), TEXTS, st.floats(1, 1000))
def test_no_passage_is_worth_more_than_it_can_be(question: str, text: str, heading: str, average: float) -> None:
    asked = question_terms(question)
    weights = WordWeights.of(asked, range(len(asked)), 100)
    read = passage(text, heading)
    assert PassageWords().share(read, weights, average) <= most_share(read, weights, average) + 1e-9
