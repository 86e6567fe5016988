"""Sizes as the encoder counts them."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.passage_texts import TEXTS
from tokenizers import Tokenizer, models, pre_tokenizers

from penstock.errors import ConfigError
from penstock.knowledge.chunking import ChunkOptions, chunk, estimate_tokens
from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.vocabulary import LONGEST, Vocabulary

GERMAN = (
    "Die Hafenordnung regelt das Ein- und Auslaufen von Schiffen. Jedes Fahrzeug muss sich vor der Einfahrt bei "
    "der Hafenmeisterei anmelden und die zugewiesene Liegeplatznummer bestätigen. "
)


@pytest.fixture(scope="module")
def vocabulary(minilm_folder: Path) -> Vocabulary:
    return Vocabulary(minilm_folder / "tokenizer.json")


@pytest.fixture(scope="module")
def whole(minilm_folder: Path) -> Tokenizer:
    own = Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
    own.no_truncation()
    own.no_padding()
    return own


def test_a_text_has_the_tokens_that_its_tokenizer_makes(vocabulary: Vocabulary, whole: Tokenizer) -> None:
    text = GERMAN * 500  # more than one part
    measured = MeasuredText(text, vocabulary)
    assert measured.tokens(0, len(text)) == len(whole.encode(text, add_special_tokens=False).ids)


def test_german_is_no_longer_underestimated(vocabulary: Vocabulary) -> None:
    text = GERMAN * 40
    options = ChunkOptions(tokens=100)
    estimated, counted = chunk(text, [], options), chunk(text, [], options, vocabulary)
    assert max(size(vocabulary, text[each.start : each.end]) for each in estimated) > 130
    assert max(size(vocabulary, text[each.start : each.end]) for each in counted) <= 100


def test_a_word_that_the_tokenizer_gives_up_on_still_has_a_size(vocabulary: Vocabulary) -> None:
    text = "QUJD" * 5000
    assert size(vocabulary, text) > len(text) / 8
    assert max(each.end - each.start for each in chunk(text, [], ChunkOptions(), vocabulary)) <= 200 * 6


@pytest.mark.parametrize("text", ["", "   ", "\n", "漢字", "a\u0301", "👩‍🚀 🇩🇪", "\x00", "\u0301" * 9])
def test_every_text_can_be_counted(vocabulary: Vocabulary, text: str) -> None:
    positions = list(vocabulary.lasts(text))
    assert positions == sorted(positions)
    assert all(0 <= at < len(text) for at in positions)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer\.json is no tokenizer"):
        Vocabulary(tmp_path / "tokenizer.json")


def size(vocabulary: Vocabulary, text: str) -> int:
    return MeasuredText(text, vocabulary).tokens(0, len(text))


def test_the_estimate_is_of_the_right_size_for_english(vocabulary: Vocabulary) -> None:
    text = "Nothing is as calm as a harbour at night, when every ship has found its place. " * 10
    assert 0.8 < estimate_tokens(text) / size(vocabulary, text) < 1.3


@settings(max_examples=200)
@given(text=st.one_of(TEXTS, st.text(st.sampled_from("ab1.,-_$€漢\u0301 \t\n\f\x0b\x1c\x85\xa0\u2028\u3000"))))
@example(text="one\ftwo\x1cthree\x85four naïve_name")
@example(text="x" * 90 + " " + "QUJD" * 900)
def test_words_taken_apart_one_by_one_have_the_tokens_that_they_have_together(
    text: str, vocabulary: Vocabulary, whole: Tokenizer
) -> None:
    offsets = whole.encode(text, add_special_tokens=False).offsets
    ends = [end - 1 for _, end in offsets]
    given_up = [(start, end) for start, end in offsets if end - start > LONGEST]
    found = [at for at in vocabulary.lasts(text) if at in ends or not inside(at, given_up)]
    assert found == ends


def inside(at: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= at < end - 1 for start, end in ranges)


def test_a_tokenizer_that_looks_at_what_stands_around_words_is_given_whole_texts(tmp_path: Path) -> None:
    model = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "Ġ": 2, "Ġa": 3, "Ċ": 4}, merges=[("Ġ", "a")]))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.save(str(tmp_path / "tokenizer.json"))
    text = "a a\nb a"
    assert list(Vocabulary(tmp_path / "tokenizer.json").lasts(text)) == [
        end - 1 for _, end in model.encode(text).offsets
    ]


def test_a_tokenizer_that_splits_at_white_space_first_is_given_words(tmp_path: Path) -> None:
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("▁har", -1.0), ("bour", -1.0), ("▁a", -1.0), (",", -1.0)]
    model = Tokenizer(models.Unigram(pieces, unk_id=0))
    model.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    model.save(str(tmp_path / "tokenizer.json"))
    text = "harbour, a harbour\n\na ,har"
    assert list(Vocabulary(tmp_path / "tokenizer.json").lasts(text)) == [
        end - 1 for _, end in model.encode(text).offsets
    ]
