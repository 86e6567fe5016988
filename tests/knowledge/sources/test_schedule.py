"""When sources are due."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.sources.schedule import Schedule, Timetable


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)


def when(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


def test_the_next_time_of_a_line_of_cron() -> None:
    assert when(Schedule("0 * * * *").after(us("2026-01-01T10:00:00Z"))) == "2026-01-01T11:00:00+00:00"
    assert when(Schedule("30 2 * * 1-5").after(us("2026-01-02T03:00:00Z"))) == "2026-01-05T02:30:00+00:00"


def test_a_time_zone_has_its_own_summer() -> None:
    berlin = Schedule("30 2 * * *", "Europe/Berlin")
    assert when(berlin.after(us("2026-01-01T00:00:00Z"))) == "2026-01-01T01:30:00+00:00"
    assert when(berlin.after(us("2026-07-01T00:00:00Z"))) == "2026-07-01T00:30:00+00:00"
    skipped = berlin.after(us("2026-03-28T12:00:00Z"))
    assert when(skipped) == "2026-03-29T01:00:00+00:00", "half past two is not there that night"
    assert when(berlin.after(skipped)) == "2026-03-30T00:30:00+00:00"
    twice = berlin.after(us("2026-10-24T12:00:00Z"))
    assert when(berlin.after(twice)) == "2026-10-26T01:30:00+00:00", "it is there twice that night, and counts once"


def test_each_source_has_its_own_times_and_missed_ones_count_once() -> None:
    start = us("2026-01-01T10:10:00Z")
    table = Timetable({"web.w": Schedule("0 * * * *"), "s3.b": Schedule("*/15 * * * *")}, start)
    assert when(table.next_us() or 0) == "2026-01-01T10:15:00+00:00"
    assert table.take(us("2026-01-01T10:14:59Z")) == ()
    assert table.take(us("2026-01-01T10:15:00Z")) == ("s3.b",)
    assert table.take(us("2026-01-01T15:20:00Z")) == ("web.w", "s3.b")
    assert when(table.next_us() or 0) == "2026-01-01T15:30:00+00:00"
    assert Timetable({}, start).next_us() is None


@given(
    st.integers(us("2020-01-01T00:00:00Z"), us("2035-01-01T00:00:00Z")), st.sampled_from(["UTC", "Europe/Berlin"])
)
def test_the_next_time_is_always_later(start: int, zone: str) -> None:
    schedule = Schedule("*/20 1-3 * * *", zone)
    first = schedule.after(start)
    assert start < first < schedule.after(first)
