"""What is left, as response headers: OpenAI's `x-ratelimit-*` for the tightest limit of each kind."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from penstock.access.limits.base import Counter
from penstock.access.limits.refusal import UNITS, shown
from penstock.access.limits.values import REQUESTS, TOKENS

Headers = list[tuple[bytes, bytes]]
Names = tuple[bytes, bytes, bytes]
Kinds = tuple[tuple[Names, tuple[Counter, ...]], ...]
"""What headers tell of, and the counters among which its tightest is looked for."""

NAMES: dict[int, Names] = {
    REQUESTS: (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    TOKENS: (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}
WARNING = b"x-penstock-budget-warning"


def kinds(counters: Sequence[Counter]) -> Kinds:
    found = ((names, tuple(each for each in counters if each.dimension == kind)) for kind, names in NAMES.items())
    return tuple((names, alike) for names, alike in found if alike)


def remaining(kinds: Kinds, now_us: int) -> Headers:
    """Limit, rest and time to the full amount, for requests and for tokens, where those are limited."""
    found: Headers = []
    for (limit, rest, reset), counters in kinds:
        counter = counters[0] if len(counters) == 1 else tightest(counters, now_us)
        left = counter.limit - counter.used(now_us)
        wait = counter.ends - now_us
        if counter.current:  # what is used now still counts in the next stretch of a sliding window
            wait += counter.window.size_us
        found += (
            (limit, counter.shown),
            (rest, b"%d" % left if left > 0 else b"0"),
            (reset, duration(wait)),
        )
    return found


def tightest(counters: Sequence[Counter], now_us: int) -> Counter:
    return min(counters, key=lambda each: max(0, each.limit - each.used(now_us)))


def duration(us: int) -> bytes:
    """A time as OpenAI writes it: `350ms`, `12s`, `6m0s`, `23h59m0s`."""
    return in_seconds(-(-us // 1_000_000)) if us >= 1_000_000 else b"%dms" % max(0, us // 1000)


@functools.lru_cache(4096)
def in_seconds(seconds: int) -> bytes:
    if seconds < 60:
        return b"%ds" % seconds
    if seconds < 3600:
        return b"%dm%ds" % divmod(seconds, 60)
    minutes, seconds = divmod(seconds, 60)
    return b"%dh%dm%ds" % (*divmod(minutes, 60), seconds)


def warnings(counters: Sequence[Counter], now_us: int) -> Headers:
    """One header for each limit that is past its warning. It names nobody, for a name might not fit a header."""
    found: Headers = []
    for counter in counters:
        used = counter.used(now_us)
        if counter.soft or used >= counter.warn:
            share = min(100, used * 100 // counter.limit)
            unit = "concurrent requests" if not counter.spec.window else UNITS[counter.dimension]
            text = f"{share}% of {shown(counter.spec, counter.limit).partition(' ')[0]} {unit} "
            found.append((WARNING, f"{text}{counter.window.words} used (per {counter.spec.per})".encode("ascii")))
    return found
