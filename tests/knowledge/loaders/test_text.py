"""Plain text in the encodings that people have, and data that is no text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.text import load_text

GERMAN = (
    "Die Hafenmeisterin überprüft die Größe der Schiffe. Für größere gilt: draußen warten, bis geöffnet ist. " * 5
)
RUSSIAN = "Начальник порта решает, может ли корабль войти. Ночь у причала стоит двенадцать евро. " * 5


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
        (GERMAN, "cp1252"),
        (RUSSIAN, "utf-8"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
    ],
)
def test_the_encoding_is_found(text: str, encoding: str) -> None:
    document = load_text(text.encode(encoding))
    assert document.text == text
    assert document.status == "ok"


def test_a_few_broken_bytes_cost_only_themselves() -> None:
    data = bytearray((GERMAN * 10).encode())
    data[500:500] = b"\xff"
    document = load_text(bytes(data))
    assert document.status == "partial"
    assert document.reason == "1 characters could not be read as utf-8. Save it as UTF-8."
    assert document.text.replace("\ufffd", "") == GERMAN * 10


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4, bytes(1000), b"PK\3\4\0\0" * 99]
)
def test_binary_data_is_said_to_be_such(data: bytes) -> None:
    with pytest.raises(Unloadable, match="not text but binary data"):
        load_text(data)


def test_paragraphs_and_underlined_headings_are_blocks_of_the_text_as_it_stands() -> None:
    text = "Harbour\r\n=======\r\n\r\nRules\r\n-----\r\nAll ships\r\nobey.\r\n \r\n\r\nAnd pay.\r\n---\r\n"
    document = load_text(text.encode())
    assert document.text == text.replace("\r\n", "\n")
    assert [
        (block.kind, block.level, document.text[block.start : block.end].strip()) for block in document.blocks
    ] == [
        ("heading", 1, "Harbour"),
        ("paragraph", 0, "======="),
        ("heading", 2, "Rules"),
        ("paragraph", 0, "-----\nAll ships\nobey."),
        ("paragraph", 0, "And pay.\n---"),
    ]
    assert document.title == "Harbour"


@given(st.binary(max_size=400))
def test_any_bytes_are_a_text_or_said_to_be_none(data: bytes) -> None:
    try:
        document = load_text(data)
    except Unloadable as problem:
        assert problem.status == "corrupt"
    else:
        assert all(document.text[block.start : block.end].strip() for block in document.blocks)


@given(st.text(max_size=400))
def test_utf_8_comes_back_as_it_was(text: str) -> None:
    try:
        document = load_text(text.encode())
    except Unloadable:
        assert "\0" in text
    else:
        if "\0" not in text and "\ufeff" not in text:
            assert document.text == text.replace("\r\n", "\n").replace("\r", "\n")
