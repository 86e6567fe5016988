"""What is left, as response headers: OpenAI's `x-ratelimit-*` for the tightest limit of each kind."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.access.limits.base import Counter
from penstock.access.limits.refusal import UNITS, shown
from penstock.access.limits.values import REQUESTS, TOKENS

Headers = list[tuple[bytes, bytes]]

NAMES = {
    REQUESTS: (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    TOKENS: (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}
WARNING = b"x-penstock-budget-warning"


def remaining(counters: Sequence[Counter], now_us: int) -> Headers:
    """Limit, rest and time to the full amount, for requests and for tokens, where those are limited."""
    found: Headers = []
    for dimension, (limit, rest, reset) in NAMES.items():
        tightest, least = None, 0
        for counter in counters:
            if counter.dimension == dimension:
                left = max(0, counter.limit - counter.used(now_us))
                if tightest is None or left < least:
                    tightest, least = counter, left
        if tightest is not None:
            found.append((limit, tightest.shown))
            found.append((rest, b"%d" % least))
            found.append((reset, duration(full_at(tightest) - now_us)))
    return found


def full_at(counter: Counter) -> int:
    """When nothing of what was used so far counts any more."""
    return counter.ends + (counter.window.size_us if counter.current else 0)


def duration(us: int) -> bytes:
    """A time as OpenAI writes it: `350ms`, `12s`, `6m0s`, `23h59m0s`."""
    if us < 1_000_000:
        return b"%dms" % max(0, us // 1000)
    seconds = -(-us // 1_000_000)
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
