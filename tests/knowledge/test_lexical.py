"""The words of a question: nothing in it is an operator, and passages are weighed by what they hold."""

import sqlite3

from hypothesis import example, given
from hypothesis import strategies as st

from penstock.knowledge.lexical import MAX_TERMS, PassageWords, WordWeights, match_expression, question_terms
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
    terms = question_terms(question)
    expression = match_expression(terms, [1] * len(terms))
    if expression:
        INDEX.execute("SELECT rowid, bm25(f) FROM f WHERE f MATCH ?", (expression,)).fetchall()


def test_telling_words_are_looked_up_once_and_the_others_not() -> None:
    assert [term.phrase for term in question_terms("What does the Harbour-Master decide for the harbour?")] == [
        '"Harbour"',
        '"Master"',
        '"decide"',
    ]
    assert [term.phrase for term in question_terms("Who was it?")] == ['"Who"', '"was"', '"it"']
    assert question_terms("?! …") == ()
    assert match_expression((), ()) == ""


def test_frequent_words_are_left_out_where_rare_ones_are_enough() -> None:
    terms = question_terms("harbour fee quay")
    assert match_expression(terms, [9000, 20, 2000]) == '"fee" OR "quay"'
    assert match_expression(terms, [90_000, 80_000, 70_000]) == '"quay"'
    assert match_expression(terms, [0, 5, 9]) == '"harbour" OR "fee" OR "quay"'


def test_numbers_and_apostrophes_are_phrases_as_the_index_has_them() -> None:
    assert [term.phrase for term in question_terms("harbour's 3.5 euros")] == ['"harbour s"', '"3 5"', '"euros"']
    for question in ("3.5", "GRÖßE", "größe", "harbours"):
        terms = question_terms(question)
        expression = match_expression(terms, [1] * len(terms))
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
    together = words.coverage(passage("Ships come. The ferry leaves Warsaw at nine.", row=1), weights)
    apart = words.coverage(passage("The ferry is old. They leave. Warsaw is large.", row=2), weights)
    assert together == 1.0
    assert 0 < apart < together
    assert words.coverage(passage("Nothing of the kind.", row=3), weights) == 0


def test_headings_speak_for_every_sentence_below_them() -> None:
    weights = WordWeights.of(question_terms("mooring fees"), [1, 1], 10)
    assert PassageWords().coverage(passage("They are twelve euros.", "Moorings", "Fees"), weights) == 1.0


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 40), st.floats(0, 1000))
def test_shares_stay_within_bounds(counts: list[int], passages: int, score: float) -> None:
    question = question_terms(" ".join(f"word{n}" for n in range(len(counts))))
    weights = WordWeights.of(question, counts[: len(question)], passages)
    assert 0 <= weights.bm25_share(score) <= 1
    assert 0 <= PassageWords().coverage(passage("word1 word2 and word3."), weights) <= 1.0000001
