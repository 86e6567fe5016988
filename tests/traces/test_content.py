"""Attributes stay within their bound, lose nothing below it, and always come out as JSON."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.traces.content import PREVIEW, bounded, encode, preview

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=10), inner, max_size=8),
    max_leaves=30,
)
ATTRIBUTES = st.dictionaries(st.text(min_size=1, max_size=12), JSON, max_size=8)


@settings(max_examples=40, deadline=None)
@given(ATTRIBUTES)
def test_what_fits_is_kept_as_it_is(attributes: dict[str, Any]) -> None:
    assert msgspec.json.decode(bounded(encode(attributes), 1 << 20)) == attributes


@settings(max_examples=40, deadline=None)
@given(ATTRIBUTES, st.integers(200, 2000))
def test_what_does_not_fit_is_cut_and_stays_json(attributes: dict[str, Any], limit: int) -> None:
    encoded = bounded(encode(attributes), limit)
    assert len(bytes(encoded)) <= max(2 * limit, 64 * len(attributes) + limit)
    assert msgspec.json.decode(encoded).keys() == attributes.keys()


@given(st.text(min_size=1), st.integers(1, 50))
def test_short_texts_survive_beside_a_long_one(short: str, words: int) -> None:
    values = msgspec.json.decode(bounded(encode({"short": short[:20], "long": "word " * 1000 * words}), 2000))
    assert values["short"] == short[:20]
    assert values["long"].startswith("word word ")
    assert values["long"].endswith(" bytes cut]")


def test_numbers_beyond_the_bound_are_left_out_with_a_mark() -> None:
    values = msgspec.json.decode(bounded(encode({"vector": [0.5] * 10_000, "limit": 5}), 1000))
    assert values == {"vector": "… [40001 bytes cut]", "limit": 5}


@given(st.text(max_size=3000))
def test_a_preview_is_one_short_line(text: str) -> None:
    line = preview(text)
    assert len(line) <= PREVIEW
    assert len(line.splitlines()) <= 1
    assert line == " ".join(line.split())
