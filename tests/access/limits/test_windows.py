"""When an amount frees, against a window that is played through moment by moment."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.access.limits.windows import NOW, Count, Window, frees_at, weighted, window

SIZE = 12
COUNTS = st.integers(0, 30)


def admits(count: Count, amount: int, at_us: int) -> bool:
    """Whether the amount passes at a time up to which nobody else took anything."""
    previous, current, ends = count.previous, count.current, count.ends_us
    while ends <= at_us:
        previous, current, ends = current, 0, ends + SIZE
    return current + weighted(previous, ends, SIZE, at_us) + amount <= count.limit


@given(
    limit=st.integers(1, 25),
    previous=COUNTS,
    current=COUNTS,
    amount=st.integers(1, 30),
    passed=st.integers(0, SIZE - 1),
)
def test_an_amount_frees_in_the_first_moment_at_which_it_passes(
    limit: int, previous: int, current: int, amount: int, passed: int
) -> None:
    """Also where calls used more than the limit. Nothing of a stretch counts two windows after it began."""
    start = 1000 * SIZE
    now = start + passed
    count = Count(Window("12us", SIZE), limit, start + SIZE, previous, current)
    moments = range(now, start + 2 * SIZE + 1)
    passes = [at for at in moments if admits(count, amount, at)]
    assert frees_at(count, amount, now) == (passes[0] if amount <= limit else None)
    if passes:
        assert passes == list(moments)[-len(passes) :], "what has freed stays free"


def test_a_burst_at_the_beginning_of_a_stretch_frees_only_with_the_next_one() -> None:
    """The two counts do not know when in its stretch something was used: the price of having only two."""
    hour = 3600_000_000
    burst = Count(window("1h"), 100, hour, 0, 100)
    assert frees_at(burst, 100, 0) == 2 * hour
    assert frees_at(burst, 1, 0) == hour + hour // 100


def test_calendar_periods_free_at_their_end_and_what_runs_when_nobody_knows() -> None:
    assert frees_at(Count(window("day"), 10, 86_400_000_000, 0, 10), 1, 5) == 86_400_000_000
    assert frees_at(Count(NOW, 10, 1 << 62, 0, 10), 1, 5) is None
