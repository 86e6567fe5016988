"""What a caller may say about caching."""

import pytest

from penstock.errors import InvalidRequest
from penstock.gateway.cache.control import OFF, ON, Directives, read_directives


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no-store", OFF),
        ("No-Store, max-age=60", OFF),
        ("no-cache", Directives(use=False)),
        ("max-age=60", Directives(wanted=True, max_age=60.0)),
        ('max-age="60"', Directives(wanted=True, max_age=60.0)),
        ("max-age=0", Directives(use=False)),
        ("max-age=soon", Directives(use=False)),
        ("max-age=-1", Directives(use=False)),
        ("no-cache, max-age=60", Directives(wanted=True, use=False, max_age=60.0)),
        ("only-if-cached", Directives(wanted=True, only=True)),
        ("only-if-cached, max-age=5", Directives(wanted=True, only=True, max_age=5.0)),
        ("max-stale=5, no-transform", None),
        ("", None),
    ],
)
def test_cache_control(value: str, said: Directives | None) -> None:
    assert read_directives({b"cache-control": value.encode()}) == said


def test_the_switch_comes_first() -> None:
    assert read_directives({}) is None
    assert read_directives({b"x-penstock-cache": b"on"}) == ON
    assert read_directives({b"x-penstock-cache": b" OFF ", b"cache-control": b"max-age=60"}) == OFF


def test_another_word_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="The header x-penstock-cache is 'yes'") as caught:
        read_directives({b"x-penstock-cache": b"yes"})
    assert "'on'" in caught.value.hint
