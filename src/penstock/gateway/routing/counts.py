"""What a route did beyond the first attempts, counted since the process began."""

from __future__ import annotations


class Counts:
    """One route's, kept across reloads. `saved_nanos` is what easy requests did not cost, where that is known."""

    __slots__ = ("easy", "fallbacks", "hard", "hedges", "longer", "retries", "saved_nanos")

    def __init__(self) -> None:
        self.retries = 0
        self.fallbacks = 0
        self.hedges = 0
        self.longer = 0
        self.easy = 0
        self.hard = 0
        self.saved_nanos = 0

    @property
    def easy_share(self) -> float | None:
        """The share of requests that were answered as easy; `None` before the first."""
        total = self.easy + self.hard
        return self.easy / total if total else None
