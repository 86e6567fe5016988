"""Sizes as the encoder counts them."""

from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.knowledge.chunking import ChunkOptions, chunk, estimate_tokens
from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.vocabulary import Vocabulary

GERMAN = (
    "Die Hafenordnung regelt das Ein- und Auslaufen von Schiffen. Jedes Fahrzeug muss sich vor der Einfahrt bei "
    "der Hafenmeisterei anmelden und die zugewiesene Liegeplatznummer bestätigen. "
)


@pytest.fixture(scope="module")
def vocabulary(minilm_folder: Path) -> Vocabulary:
    return Vocabulary(minilm_folder / "tokenizer.json")


def test_a_text_has_the_tokens_that_its_tokenizer_makes(vocabulary: Vocabulary, minilm_folder: Path) -> None:
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
    own.no_truncation()
    text = GERMAN * 500  # more than one part
    measured = MeasuredText(text, vocabulary)
    assert measured.tokens(0, len(text)) == len(own.encode(text, add_special_tokens=False).ids)


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
