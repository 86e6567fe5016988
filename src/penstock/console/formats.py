"""How figures read on a page. Unknown is a dash, never a zero."""

from __future__ import annotations

import re
from datetime import UTC, datetime

UNKNOWN = "–"


def duration(microseconds: int | None) -> str:
    """840 µs, 42 ms, 1.3 s, 2 min 5 s."""
    if microseconds is None:
        return UNKNOWN
    if microseconds < 950:
        return f"{microseconds} µs"
    if microseconds < 950_000:
        milliseconds = microseconds / 1000
        return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    seconds = microseconds / 1e6
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def size(octets: int) -> str:
    """412 B, 3.4 KB, 12 MB; powers of 1000."""
    value = float(octets)
    for unit in ("B", "KB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def cost(nanos: int | None) -> str:
    """Nano-dollars in dollars, with as many digits as small amounts need."""
    if nanos is None:
        return UNKNOWN
    dollars = nanos / 1e9
    return f"${dollars:,.2f}" if dollars >= 1 or nanos == 0 else f"${dollars:.6f}".rstrip("0")


def money(nanos: int | None) -> str:
    """Nano-dollars to read, not to book: $0.00012, $0.742, $12.34, $1,234."""
    if nanos is None:
        return UNKNOWN
    dollars = nanos / 1e9
    if dollars >= 1 or nanos == 0:
        return f"${dollars:,.0f}" if dollars >= 1000 else f"${dollars:,.2f}"
    if dollars >= 0.1:
        return f"${dollars:.3f}".removesuffix("0")
    return f"${dollars:.3g}" if dollars >= 0.0001 else "<$0.0001"


def compact(number: int | None) -> str:
    """412, 98,214, 271K, 1.24M, 3.1B: at most six characters or so."""
    if number is None or number < 100_000:
        return count(number)
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            value = number / size
            return f"{value:.3g}{unit}" if value < 999.5 else f"{value:,.0f}{unit}"
    return count(number)


def rate(per_second: float) -> str:
    """0.03/s, 4.2/s, 1,310/s."""
    if per_second and per_second < 0.01:
        return f"{per_second * 3600:.2g}/h"
    return f"{per_second:,.0f}/s" if per_second >= 99.5 else f"{per_second:.2g}/s"


def share(value: float | None) -> str:
    """0.013 as 1.3%; small ones are not rounded to nothing."""
    if value is None:
        return UNKNOWN
    percents = 100 * value
    if 0 < percents < 0.1:
        return "<0.1%"
    return f"{percents:.1f}%" if percents < 9.95 and percents != 0 else f"{percents:.0f}%"


def seconds(value: float | None) -> str:
    """Seconds as `duration`."""
    return duration(None if value is None else round(value * 1e6))


def score(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}".replace("-", "−")


def percent(score: float | None) -> str:
    """A score of 0 to 1 as the length of its bar."""
    return f"{100 * min(1.0, max(0.0, score or 0.0)):.1f}%"


def moment(microseconds: int) -> str:
    """UTC in ISO 8601 to the second, for `<time datetime>`; the page's script shows it in the reader's zone."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain_moment(microseconds: int) -> str:
    """The same for readers without scripts."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def words(name: str) -> str:
    """`no_text` as "no text"."""
    return re.sub(r"[_-]+", " ", name)
