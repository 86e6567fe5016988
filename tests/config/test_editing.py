"""Settings put into `penstock.toml`: they hold, and everything else stays as it was."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config.editing import Setting, with_settings

FILE = """\
# Our handbook.
[app]
name = "handbook"   # as people call it

[knowledge.docs]  # what we know
sources = ["docs/**/*"]
chunk_tokens = 200  # tried 300, worse
chunk_overlap = 20

# The models.
[models.default]
use = "smollm2-135m-instruct"
"""


def test_a_setting_is_replaced_in_its_line_and_another_one_added_below() -> None:
    edited = with_settings(
        FILE, "knowledge.docs", {"chunk_tokens": 128, "chunking": "code"}, stale=("chunk_overlap",)
    )
    assert 'chunk_tokens = 128  # tried 300, worse\nchunking = "code"\n\n# The models.' in edited.replace(
        "\n\n\n", "\n\n"
    )
    assert "chunk_overlap" not in edited
    assert edited.split("[knowledge.docs]")[0] == FILE.split("[knowledge.docs]")[0]


def test_a_sign_within_a_text_is_no_comment() -> None:
    edited = with_settings('[app]\nname = "a #1"  # ours\n', "app", {"name": "b"})
    assert edited == '[app]\nname = "b"  # ours\n'


def test_a_table_that_is_not_there_is_added() -> None:
    assert with_settings("", "knowledge.docs", {"chunking": "code"}) == '[knowledge.docs]\nchunking = "code"\n'
    edited = with_settings("[app]\nname = 'a'\n", "knowledge.docs", {"vector_weight": 0.35})
    assert edited == "[app]\nname = 'a'\n\n[knowledge.docs]\nvector_weight = 0.35\n"


@pytest.mark.parametrize("table", ["knowledge.docs", "app", "models.default", "knowledge.other", "server"])
@given(
    st.dictionaries(
        st.sampled_from(["chunking", "chunk_tokens", "name", "vector_weight"]),
        st.one_of(st.text(max_size=20), st.integers(-(2**53), 2**53), st.booleans()),
        min_size=1,
    )
)
def test_what_was_put_in_is_read_back_and_the_rest_is_as_before(table: str, settings: dict[str, Setting]) -> None:
    before, after = tomllib.loads(FILE), tomllib.loads(with_settings(FILE, table, settings))
    *path, name = table.split(".")
    parents = (before, after)
    for part in path:
        parents = (parents[0].setdefault(part, {}), parents[1][part])
    assert parents[1].pop(name) == parents[0].pop(name, {}) | settings
    assert after == before
