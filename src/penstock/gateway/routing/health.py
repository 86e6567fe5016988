"""What is known of one target from the requests it was sent: how quick it is, and whether it is left out.

    healthy ──failures──▶ ejected ──time──▶ probing ──success──▶ healthy
                             ▲                  └──failure──▶ ejected, for longer

The state is by the process's own requests only, and outlives a reload of the configuration.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Literal

from msgspec import Struct

from penstock.errors import FailureKind
from penstock.gateway.routing.kinds import OF_THE_TARGET, PASSING

State = Literal["healthy", "resting", "ejected", "probing", "held"]
"""`held` is one that was taken out by hand, and is not asked until it is put back."""

RECENT = 20
"""Outcomes that are looked at for the share of failures."""
MASK = (1 << RECENT) - 1
LONGER = 8
"""How many times its first length an ejection may last."""
SAMPLES = 512
DECAY_SECONDS = 10.0
"""How quickly the moving average of latency forgets a peak, as in Finagle's peak EWMA."""


class EjectRule(Struct, frozen=True):
    """`after` failures in a row a target is left out for `seconds`."""

    after: int = 5
    seconds: float = 30.0


class Health:
    """Counters and state of one target. All times are monotonic seconds.

    `in_row` counts failures since the last answer; `unwell` says that the last request failed there, and another
    might have passed elsewhere.
    """

    __slots__ = (
        "attempts",
        "average",
        "average_at",
        "ejected_until",
        "ejections",
        "failures",
        "held",
        "in_flight",
        "in_row",
        "latencies",
        "outcomes",
        "probing",
        "recent",
        "rests_until",
        "rounds",
        "successes",
        "unwell",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.successes = 0
        self.failures: Counter[FailureKind] = Counter()
        self.ejections = 0
        self.in_flight = 0
        self.in_row = 0
        self.unwell = False
        self.recent = 0
        self.outcomes = 0
        self.ejected_until = 0.0
        self.rests_until = 0.0
        self.rounds = 0
        self.probing = False
        self.held = False
        self.average: float | None = None
        self.average_at = 0.0
        self.latencies: deque[float] = deque(maxlen=SAMPLES)

    @property
    def ejected(self) -> bool:
        """Whether it is left out; also while it is being probed."""
        return self.ejected_until > 0.0

    def hold(self) -> None:
        """Takes the target out by hand; only `restore` puts it back."""
        self.held = True
        self.ejected_until = math.inf

    def takes(self, now: float) -> bool:
        """Whether requests go to it: an ejected one gets a single probe when its time is over."""
        if self.ejected_until > 0.0:
            return now >= self.ejected_until and not self.probing
        return now >= self.rests_until

    def state(self, now: float) -> State:
        if self.held:
            return "held"
        if self.ejected_until > 0.0:
            return "probing" if self.probing or now >= self.ejected_until else "ejected"
        return "healthy" if now >= self.rests_until else "resting"

    def opened(self, seconds: float, now: float) -> None:
        """A first token came after `seconds`. The average follows a peak at once, and forgets it slowly."""
        self.latencies.append(seconds)
        if self.rests_until and now >= self.rests_until:
            self.rests_until = 0.0
        if self.average is None or seconds > self.average:
            self.average = seconds
        else:
            weight = math.exp(-(now - self.average_at) / DECAY_SECONDS)
            self.average = seconds + (self.average - seconds) * weight
        self.average_at = now

    def succeeded(self, *, probe: bool) -> None:
        self.successes += 1
        self.in_row = 0
        self.unwell = False
        self._note(0)
        if probe and self.ejected_until and not self.held:
            self.restore()

    def failed(self, kind: FailureKind, now: float, rule: EjectRule | None, *, probe: bool, alone: bool) -> None:
        """Counts a failure, and leaves the target out where `rule` says that it was one too many.

        `alone` says that no other target of the route is well: it is then left out only when it always fails.
        """
        self.failures[kind] += 1
        self.unwell = kind in PASSING or kind == "auth"
        if rule is None or kind not in OF_THE_TARGET:
            self.in_row = 0
            if probe and self.ejected_until and not self.held:
                self.restore()
            return
        self.in_row += 1
        self._note(1)
        if self.ejected_until:
            if probe and now >= self.ejected_until:
                self.eject(now, rule.seconds)
            return
        often = self.outcomes >= RECENT and 2 * self.recent.bit_count() > RECENT and not alone
        if self.in_row >= rule.after or often:
            self.eject(now, rule.seconds)

    def rest(self, until: float) -> None:
        """The target asked for a pause."""
        self.rests_until = max(self.rests_until, until)

    def eject(self, now: float, seconds: float) -> None:
        """Leaves the target out; longer each time that a probe fails."""
        self.ejections += 1
        self.ejected_until = now + seconds * min(LONGER, 2**self.rounds)
        self.rounds += 1

    def restore(self) -> None:
        """Makes it a target like the others again."""
        self.ejected_until = self.rests_until = 0.0
        self.rounds = self.in_row = self.recent = self.outcomes = 0
        self.probing = self.held = False

    @property
    def error_share(self) -> float | None:
        """The share of the ended attempts in which the target was at fault."""
        ended = self.successes + self.failures.total()
        at_fault = sum(count for kind, count in self.failures.items() if kind in OF_THE_TARGET)
        return at_fault / ended if ended else None

    def percentile(self, share: float) -> float | None:
        """Seconds to the first token, of the last answers; `None` where there are none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def _note(self, failed: int) -> None:
        self.recent = (self.recent << 1 | failed) & MASK
        self.outcomes += 1
