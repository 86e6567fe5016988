"""The seam of limits: who keeps the counts. In this process, for several processes, or for several machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.access.limits.values import Amounts, CounterSpec, CounterUsage, Crossing
from penstock.access.limits.windows import Count, weighted, window

TAKEN = -1
WARNED = -2
"""What `take` says beside the number of the counter that lacks: all was taken, and a warning is due."""

NEVER = 1 << 62

OnCrossing = Callable[[Crossing], None]


class Counter:
    """One running counter of a store; only the store changes it.

    `previous` and `current` are the counts of the stretch that ends at `ends` (see `windows`), exact where the
    store keeps them itself, else as its keeper last said. `soft` is whether the keeper has seen the warning
    passed. `at` and `warned` are the store's own, and so are those of a lease: `number`, what is `held` in all,
    is `left` of it until when, and was left when it was last looked at (`rested`), whether it was `recalled` since,
    how much was asked for at once (`batch`) and when.
    """

    __slots__ = (
        "asked_us",
        "at",
        "batch",
        "current",
        "dimension",
        "ends",
        "held",
        "left",
        "limit",
        "number",
        "previous",
        "recalled",
        "rested",
        "shown",
        "size",
        "soft",
        "spec",
        "until",
        "warn",
        "warned",
        "window",
    )

    def __init__(self, spec: CounterSpec) -> None:
        self.window = window(spec.window)
        self.size = self.window.size_us or 1
        self.dimension = spec.dimension
        self.ends = 0
        self.previous = 0
        self.current = 0
        self.soft = False
        self.at = 0
        self.warned = 0
        self.number = 0
        self.left = 0
        self.held = 0
        self.until = 0
        self.rested = 0
        self.recalled = False
        self.batch = 0
        self.asked_us = 0
        self.change(spec)

    def change(self, spec: CounterSpec) -> None:
        """Other amounts for the same count."""
        self.spec = spec
        self.limit = spec.amount
        self.warn = spec.warn or NEVER
        self.shown = b"%d" % spec.amount

    def used(self, now_us: int) -> int:
        """What counts against the limit, as far as it is known here."""
        used = self.current - self.left
        if self.previous:
            used += weighted(self.previous, self.ends, self.size, now_us)
        return used

    def count(self) -> Count:
        return Count(self.window, self.limit, self.ends, self.previous, self.current - self.left)


class LimitStore(Protocol):
    """Keeps counters. Taking is all or nothing over several of them, and never exceeds a limit.

    Amounts that are known only afterwards are corrected by `settle`; that is the one way in which a count can come
    to exceed its limit, by what calls turned out to need more than they reserved.
    """

    def counter(self, spec: CounterSpec) -> Counter:
        """The counter of a spec; the same one for the same id."""
        ...

    def take(self, counters: Sequence[Counter], amounts: Amounts) -> int:
        """Takes each counter's dimension of the amounts: `TAKEN`, `WARNED`, or the number of one that lacks.

        Does not wait. Where it finds too little, nothing is taken, and `obtain` has the last word.
        """
        ...

    async def obtain(self, counters: Sequence[Counter], amounts: Amounts) -> int:
        """The same after asking whoever keeps the counts, if that is not the store itself."""
        ...

    def settle(self, counters: Sequence[Counter], ends: Sequence[int], deltas: Amounts) -> None:
        """Corrects what was taken while the counters had these `ends`. Must not raise or wait."""
        ...

    def now_us(self) -> int: ...

    async def usage(self) -> list[CounterUsage]:
        """Every counter that is running, of this process and of those that share the store."""
        ...

    def forget_idle(self) -> None:
        """Drops counters in which nothing is counted any more. Those given out before must not be used again."""
        ...

    def __len__(self) -> int:
        """How many counters the store has."""
        ...

    async def close(self) -> None: ...
