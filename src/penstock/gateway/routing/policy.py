"""What a route was told to do, and what all routes of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from msgspec import Struct

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.config.routing import FALLBACK_ON, RouteSettings, Strategy
from penstock.errors import FailureKind
from penstock.gateway.routing.budget import RetryBudget
from penstock.gateway.routing.health import EjectRule

FIRST_DELAY = 0.25
LONGEST_DELAY = 5.0
"""Seconds: the delay before a retry is drawn from nothing up to a bound that doubles from the one to the other."""
LONGEST_WAIT = 20.0
"""Seconds that a request waits at most because a target asked for a pause; then its client is told."""


class Policy(Struct, frozen=True, kw_only=True):
    """What happens to a request whose attempt fails (`config.routing.RouteSettings`). Times are seconds."""

    strategy: Strategy = "weighted"
    retries: int = 2
    fallback_on: frozenset[FailureKind] = frozenset(FALLBACK_ON)
    hedge_after: float | None = None
    eject: EjectRule = EjectRule()
    max_wait: float = 0.0
    total: float | None = None

    @classmethod
    def of(cls, settings: RouteSettings) -> Policy:
        """The policy that a model's settings ask for."""
        return cls(
            strategy=settings.strategy,
            retries=settings.retries,
            fallback_on=frozenset(settings.fallback_on),
            hedge_after=settings.hedge_after,
            eject=EjectRule(settings.eject_after, settings.eject_seconds),
            max_wait=settings.max_wait_seconds,
            total=settings.total_seconds,
        )


class Process:
    """What all routes of a process share, also across reloads. `now` is monotonic seconds."""

    __slots__ = ("budget", "now", "random", "sleep")

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.now = clock.monotonic
        self.random = random or Random()  # noqa: S311 - it spreads load, and guards nothing
        self.sleep = sleep
        self.budget = RetryBudget(clock)

    def jitter(self, retry: int) -> float:
        """The delay before the retry of that number, from 0 on: "full jitter"."""
        return self.random.uniform(0.0, min(LONGEST_DELAY, FIRST_DELAY * 2.0**retry))
