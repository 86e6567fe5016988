"""How long things took, in classes of 2 to 3% width: percentiles from sums that a database can make.

The classes are those of an HDR histogram: within each power of two they are equally wide, 32 to a power.
"""

from __future__ import annotations

from collections import defaultdict

from penstock.access.overview.values import Latency

BITS = 5
LONGEST_BITS = 40


def bucket(expression: str) -> str:
    """SQL for the lower end of the class that a number of microseconds falls into."""
    cases = " ".join(
        f"WHEN {expression} < {1 << bits} THEN (({expression}) >> {bits - BITS - 1}) << {bits - BITS - 1}"
        for bits in range(BITS + 1, LONGEST_BITS)
    )
    return f"CASE {cases} END"


def middle(lower: int) -> int:
    """The middle of the class that begins at `lower`."""
    return lower + (1 << max(0, lower.bit_length() - BITS - 1)) // 2


class Histogram:
    """Counts by class; fractions of a call are welcome."""

    def __init__(self) -> None:
        self._counts: defaultdict[int, float] = defaultdict(float)

    def add(self, lower: int, count: float) -> None:
        self._counts[lower] += float(count)

    @property
    def latency(self) -> Latency:
        return Latency(self.percentile(0.5), self.percentile(0.95), self.percentile(0.99))

    def percentile(self, share: float) -> int | None:
        """What that share took no longer than; `None` where there is nothing."""
        wanted, passed = share * sum(self._counts.values()), 0.0
        lower = None
        for lower in sorted(self._counts):
            passed += self._counts[lower]
            if passed >= wanted:
                break
        return None if lower is None else middle(lower)
