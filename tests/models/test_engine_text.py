"""Text from tokens: whole characters, and nothing of a stop string."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.models.engines.text import StopScanner, TextStream, TokenTable

BYTES = TokenTable([bytes([value]) for value in range(256)])


@settings(deadline=None)
@given(st.text(), st.lists(st.integers(1, 5), min_size=1))
def test_characters_come_whole_however_their_bytes_are_split(text: str, sizes: list[int]) -> None:
    data = text.encode()
    stream = TextStream(BYTES)
    out = []
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        out.append(stream.feed(data[at : at + size]))
        at += size
    assert stream.flush() == ""
    assert "".join(out) == text
    assert "\ufffd" not in "".join(out) or "\ufffd" in text


def test_half_a_character_at_the_end_becomes_the_replacement_character() -> None:
    stream = TextStream(BYTES)
    assert stream.feed("é".encode()[:1]) == ""
    assert stream.flush() == "\ufffd"


@settings(deadline=None)
@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_at_the_first_stop_string_and_no_part_of_it_goes_out(text: str, stops: list[str]) -> None:
    scanner = StopScanner(stops)
    out = ""
    stopped = False
    for character in text:
        piece, stopped = scanner.feed(character)
        out += piece
        if stopped:
            break
    if not stopped:
        held = scanner.flush()
        assert not held or any(stop.startswith(held) for stop in stops)
        out += held
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    assert stopped == bool(ends)
    if not ends:
        assert out == text
    else:
        found = text[: min(ends)]
        assert any(found == out + stop for stop in stops)


@settings(deadline=None)
@given(st.text("ab🤖", max_size=20), st.integers(1, 7))
def test_a_stop_string_is_found_across_tokens(text: str, size: int) -> None:
    data = (text + "STOP" + text).encode()
    stream = TextStream(BYTES, ("STOP",))
    out = ""
    for at in range(0, len(data), size):
        out += stream.feed(data[at : at + size])
        if stream.stopped:
            break
    assert out == text
    assert stream.flush() == ""


@pytest.fixture(scope="module")
def tokenizer(smollm2_file: Path) -> object:
    import openvino_genai

    return openvino_genai.Tokenizer(smollm2_file)


@pytest.fixture(scope="module")
def table(tokenizer: object) -> TokenTable:
    from penstock.models.engines.openvino_model import read_pieces

    return TokenTable(read_pieces(tokenizer)[0])


@settings(deadline=None)
@given(st.lists(st.integers(0, 49_151), max_size=40))
def test_the_table_of_bytes_agrees_with_the_tokenizer(
    tokenizer: object, table: TokenTable, tokens: list[int]
) -> None:
    expected: str = tokenizer.decode(tokens)  # type: ignore[attr-defined]
    # The tokenizer drops an unfinished character; the table shows it as U+FFFD.
    assert table.text(tokens).replace("\ufffd", "") == expected.replace("\ufffd", "")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="<"), max_size=50))
def test_text_comes_back_from_its_tokens(tokenizer: object, table: TokenTable, text: str) -> None:
    encoded = tokenizer.encode(text, add_special_tokens=False)  # type: ignore[attr-defined]
    tokens = [int(token) for token in encoded.input_ids.data.reshape(-1)]
    assert TextStream(table).feed(tokens) == table.text(tokens).rstrip("\ufffd")
    assert table.text(tokens) == text
