"""What a listing lets a run remove, and how much of it one run may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import Conflict
from penstock.knowledge.sources.base import Item, Listing
from penstock.knowledge.sources.deletion import HANDFUL, check_deletions

KEYS = st.text("ab/", min_size=1, max_size=6)


def item(key: str) -> Item:
    return Item(key=key, version="1", kind="text", location=b"")


def test_most_documents_gone_at_once_stops_the_source_with_both_numbers_and_the_way_out() -> None:
    with pytest.raises(Conflict) as caught:
        check_deletions("web.handbook", 1_000, 201, 0.2)
    assert str(caught.value) == (
        "web.handbook: 201 of 1,000 documents are no longer there, more than the 20% that one run may delete. "
        "Nothing of this source was removed. If they are really gone, run `penstock ingest --allow-delete`; else "
        "mend the source. max_delete sets the share."
    )
    check_deletions("web.handbook", 1_000, 200, 0.2)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.floats(0, 1))
def test_more_than_the_share_and_a_handful_never_goes(known: int, gone: int, share: float) -> None:
    gone = min(gone, known)
    try:
        check_deletions("folder", known, gone, share)
    except Conflict:
        assert gone > HANDFUL and gone > share * known
    else:
        assert gone <= HANDFUL or gone <= share * known


@given(st.frozensets(KEYS), st.frozensets(KEYS), st.frozensets(KEYS | st.just("")))
def test_nothing_below_what_was_not_listed_is_gone(
    known: frozenset[str], found: frozenset[str], unlisted: frozenset[str]
) -> None:
    gone = Listing(items=tuple(map(item, found)), unlisted=tuple(unlisted)).gone(known)
    assert gone <= known - found
    assert not any(key == each or key.startswith(f"{each}/") or each == "" for key in gone for each in unlisted)
    if not unlisted:
        assert gone == known - found


def test_a_listing_of_changes_removes_only_what_it_names() -> None:
    changes = Listing(items=(item("new"), item("back")), complete=False, deleted=("old", "back"))
    assert changes.gone(["old", "back", "kept"]) == {"old"}


def test_what_is_surely_gone_goes_although_the_rest_is_unknown() -> None:
    assert Listing(items=(), unlisted=("",), deleted=("a",)).gone(["a", "b"]) == {"a"}
