"""The times in which amounts are counted: sliding windows, calendar periods, and the moment.

A sliding window keeps two counts: of the running stretch and of the one before it, which weighs as much as of it
still lies inside a window that ends now. So for a limit of 100 a minute, at 20 s past the minute,

    used = this minute's + 40/60 of the last minute's (rounded up)

Of what is admitted, no stretch holds more than the limit, and this weighted count never does. A window that begins
in the middle of a stretch may hold more where the requests of the last one bunched at its end. Two numbers take the
place of one time per request.

A calendar period (day, week from Monday, month; UTC) begins with nothing. What runs at the moment (`NOW`) has no
window at all: it is given back when it ends.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from penstock.config.limits import CALENDAR, window_seconds

SECOND = 1_000_000
FOREVER = 1 << 62
"""Later than any time, in microseconds; a signed 64-bit number can hold it and what is added to it."""


class Window(Struct, frozen=True):
    """`text` is as configured, "" for the moment. `size_us` is the length of a sliding one, 0 for the others."""

    text: str
    size_us: int = 0

    def bounds(self, now_us: int) -> tuple[int, int]:
        """Begin and end of the stretch that `now_us` lies in; the end is no part of it. UTC microseconds."""
        if self.size_us:
            start = now_us - now_us % self.size_us
            return start, start + self.size_us
        if not self.text:
            return 0, FOREVER
        return calendar_bounds(self.text, now_us)

    @property
    def words(self) -> str:
        """As people say it: "per 1m", "this month"."""
        if self.text == "day":
            return "today"
        if self.text in CALENDAR:
            return f"this {self.text}"
        return f"per {self.text}" if self.text else "at the same time"


NOW = Window("")


@functools.cache
def window(text: str) -> Window:
    """The window that a configuration names; "" is the moment."""
    seconds = window_seconds(text)
    return Window(text, seconds * SECOND if seconds else 0)


def calendar_bounds(period: str, now_us: int) -> tuple[int, int]:
    today = datetime.fromtimestamp(now_us // SECOND, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        first, next_ = today, today + timedelta(days=1)
    elif period == "week":
        first = today - timedelta(days=today.weekday())
        next_ = first + timedelta(days=7)
    else:
        first = today.replace(day=1)
        next_ = (first + timedelta(days=31)).replace(day=1)
    return int(first.timestamp()) * SECOND, int(next_.timestamp()) * SECOND


def weighted(previous: int, ends_us: int, size_us: int, now_us: int) -> int:
    """What of the last stretch still counts `now_us` in the running one, rounded up."""
    return -(-previous * (ends_us - now_us) // size_us) if previous else 0


def frees_at(count: Count, amount: int, now_us: int) -> int | None:
    """The first moment at which `amount` is admitted if nobody else asks; `None` where that is never, or not known.

    What was used at the beginning of a stretch counts whole until that ends, and in shares until the next one does:
    so this may be up to two windows away.
    """
    if amount > count.limit or not count.window.text:
        return None
    size = count.window.size_us
    if not size:
        return count.ends_us
    room = count.limit - amount
    if count.current <= room:
        rest = room - count.current
        return max(now_us, count.ends_us - rest * size // count.previous) if count.previous else now_us
    return count.ends_us + size - room * size // count.current


class Count(Struct, frozen=True):
    """The state of one counter, as its keeper has it: see the head of this file."""

    window: Window
    limit: int
    ends_us: int
    previous: int
    current: int

    def used(self, now_us: int) -> int:
        size = self.window.size_us
        return self.current + (weighted(self.previous, self.ends_us, size, now_us) if size else 0)
