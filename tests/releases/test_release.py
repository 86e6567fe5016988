"""A release id changes exactly when something that shapes the answer does."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.releases.release import make_release

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PARTS = st.dictionaries(st.text(min_size=1), VALUES, max_size=6)


@given(PARTS)
def test_the_order_of_the_parts_does_not_matter(parts: dict[str, object]) -> None:
    reordered = dict(reversed(list(parts.items())))
    assert make_release("handbook", parts).id == make_release("handbook", reordered).id


@given(PARTS, st.text(min_size=1), VALUES)
def test_any_change_makes_another_release(parts: dict[str, object], name: str, value: object) -> None:
    changed = {**parts, name: value}
    same = name in parts and parts[name] == value and type(parts[name]) is type(value)
    if not same and repr(changed) != repr(parts):
        assert make_release("handbook", changed).id != make_release("handbook", parts).id


def test_apps_do_not_share_releases() -> None:
    one, other = make_release("handbook", {"mode": "auto"}), make_release("wiki", {"mode": "auto"})
    assert one.id != other.id
    assert one.id.startswith("rel_")
