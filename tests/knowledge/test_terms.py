"""Words as they are compared: one form whatever the case, the accents and the shape of the letters."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.knowledge.terms import WORD, beginning, fold, stem, terms, words


@given(st.text(st.characters(max_codepoint=0x7F)) | st.text())
def test_folding_is_lower_case_without_accents(text: str) -> None:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    assert fold(text) == "".join(char for char in decomposed if not unicodedata.combining(char))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Turbines and the TURBINE", ["turbin", "turbin"]),
        ("Größe, Lindqvist’s 1,200 metres", ["gros", "lindqvist", "1200", "metr"]),
        ("富士山", ["富士", "士山"]),
    ],
)
def test_terms_are_stems_without_stop_words(text: str, found: list[str]) -> None:
    assert terms(text) == found


@given(st.text(st.characters(max_codepoint=0x7F)))
@example("it's 1,200.5 a_b c3po_4 x'y'z '_")
def test_plain_text_has_the_words_that_any_text_has(text: str) -> None:
    assert words(text) == [word.replace(",", "") for word in WORD.findall(text.lower())]


@given(st.text())
@example("countries organised relational ties stopped boss's Größe 1,200 富士山")
def test_a_word_begins_as_its_stem_does(text: str) -> None:
    for word in words(text):
        assert word.startswith(beginning(stem(word)))
