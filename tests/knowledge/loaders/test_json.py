"""JSON and JSON lines as text that people and searches can read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.json import load_json, load_jsonl
from penstock.knowledge.loaders.places import Locator

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="ab \n", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abtitle", max_size=5), inner, max_size=3),
    max_leaves=10,
)


def test_records_are_sections_under_their_titles() -> None:
    records = [
        {
            "title": "Ferry",
            "euros": 1.10,
            "open": True,
            "none": None,
            "size": {"length": 40, "tags": ["big", "slow"]},
        },
        {"id": 7, "text": "First.\n\nSecond."},
    ]
    document = load_json(json.dumps(records).replace("1.1", "1.10").encode())
    assert document.text == (
        "Ferry\n\neuros: 1.10\nopen: yes\nsize.length: 40\nsize.tags: big, slow\n\nid: 7\n\ntext: First.\n\nSecond."
    )
    assert [(block.kind, block.level) for block in document.blocks][:2] == [("heading", 1), ("table", 0)]
    locator = Locator(document.text, document.places)
    assert locator.location(0, 5) == "record 1"
    assert locator.location(0, len(document.text)) == "records 1–2"


def test_the_lists_of_an_object_are_sections() -> None:
    document = load_json(
        b'{"name": "Fees", "year": 2026, "ships": [{"name": "Ferry", "euros": 100}, {"kind": "boat"}]}'
    )
    assert document.title == "Fees"
    assert document.text == "Fees\n\nyear: 2026\n\nships\n\nFerry\n\neuros: 100\n\nkind: boat"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1,\n "b": }', r"not JSON from line 2, column 7 on \(Expecting value\)"),
        (b'[{"a": 1}, {"b"', "not JSON from line 1, column 16"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_not_json_says_where(data: bytes, reason: str) -> None:
    with pytest.raises(Unloadable, match=reason) as caught:
        load_json(data)
    assert caught.value.status == "corrupt"


def test_lines_that_are_not_json_are_left_out_and_named() -> None:
    document = load_jsonl(b'{"a": 1}\n\nnot this\n{"a": 2}\n{"a":')
    assert document.text == "a: 1\n\na: 2"
    assert (document.status, document.reason) == ("partial", "Lines 3, 5 are not JSON and were left out.")
    assert Locator(document.text, document.places).location(0, len(document.text)) == "lines 1–4"
    with pytest.raises(Unloadable, match="None of its lines is JSON"):
        load_jsonl(b"a\nb\n")


@given(VALUES)
def test_every_scalar_of_any_value_is_in_the_text(value: Any) -> None:
    text = "".join(load_json(json.dumps(value).encode()).text.split())

    def check(part: Any) -> None:
        match part:
            case dict():
                for inner in part.values():
                    check(inner)
            case list():
                for inner in part:
                    check(inner)
            case bool():
                assert ("yes" if part else "no") in text
            case None:
                pass
            case _:
                assert "".join(str(part).split()) in text

    check(value)
