"""The patterns of what a key may ask, and the rule that a child's never allow more than its parent's."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.access.principal import matches, permits, within

PIECES = st.text("ab*", max_size=8)
NAMES = st.text("abc", max_size=8)
PATTERNS = st.lists(PIECES.filter(bool), max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("gpt-4", "gpt-4", True),
        ("gpt-4", "gpt-4o", False),
        ("gpt-*", "gpt-4o", True),
        ("gpt-*", "my-gpt-4o", False),
        ("*/gpt-*-mini", "openai/gpt-4.1-mini", True),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*a*b*", "xbxa", False),
        ("gpt-[45]", "gpt-4", False),
        ("", "", True),
    ],
)
def test_a_star_stands_for_any_text_and_nothing_else_is_special(pattern: str, name: str, is_match: bool) -> None:
    assert matches(pattern, name) == is_match


@given(PIECES, NAMES)
def test_it_matches_what_the_shell_s_patterns_match(pattern: str, name: str) -> None:
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@given(PATTERNS, PATTERNS, NAMES)
def test_a_child_never_reaches_what_its_parent_does_not(
    child: tuple[str, ...], parent: tuple[str, ...], name: str
) -> None:
    if within(child, parent) and permits(child, name):
        assert permits(parent, name)


@given(PATTERNS)
def test_what_a_parent_has_a_child_may_have(patterns: tuple[str, ...]) -> None:
    assert within(patterns, patterns)
    assert within(patterns, ())
    assert not patterns or not within((), patterns)
