"""One request on its route: what is asked first, and what after each failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from penstock.errors import FailureKind, Overloaded, PenstockError, Unavailable, UnsupportedFeature
from penstock.exchange import Exchange
from penstock.gateway.routing.attempt import Attempt, Detour, Reason, Why
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.kinds import PASSING
from penstock.gateway.routing.policy import LONGEST_WAIT

if TYPE_CHECKING:
    from penstock.gateway.routing.route import Route

PATIENCE = 1.0
"""Seconds: with another model to fall back to, no longer wait than this is made for a target."""
FULL_RETRY_AFTER, LONGEST_RETRY_AFTER = 1.0, 60.0


class RouteCall:
    """The attempts of one exchange. `next` gives the first, and after each `failed` another.

    `made` is how many there were before.
    """

    __slots__ = ("_able", "_error", "_kind", "_last", "_number", "_retries", "_tried", "_ways", "exchange", "route")

    def __init__(self, route: Route, exchange: Exchange, made: int = 0) -> None:
        self.route = route
        self.exchange = exchange
        self._able = route.able(exchange)
        self._tried: list[Backend] = []
        self._ways: Iterator[Route] | None = None
        self._retries = route.policy.retries
        self._number = made
        self._error: PenstockError | None = None
        self._kind: FailureKind | None = None
        self._last: Attempt | Detour | None = None

    async def next(self) -> Attempt | Detour:
        """What is asked now. Raises the error of the last target where nothing is left to ask."""
        if self._error is None:
            return self._easy() or await self._first()
        if self._kind is not None and self.route.process.now() < self.exchange.deadline:
            source = await self._after(self._error, self._kind)
            if source is not None:
                return source
        raise self._error

    def failed(self, source: Attempt | Detour, error: PenstockError, kind: FailureKind) -> None:
        """An attempt failed. What a target of the route said counts for more than what others said after it."""
        source.tell(self.exchange, error, kind)
        if isinstance(source, Attempt):
            self._tried.append(source.backend)
        if self._error is None or isinstance(source, Attempt):
            self._error = error
        self._kind = kind
        self._last = source

    def attempt(self, backend: Backend, reason: Reason, *, delay: float = 0.0, probe: bool = False) -> Attempt:
        self._number += 1
        why = Why(reason, self._number, delay)
        return Attempt(self.route, backend, self.exchange, why, probe=probe or backend.health.ejected)

    def other(self, tried: list[Backend]) -> Backend | None:
        """A target that could be asked now and was not yet."""
        now = self.route.process.now()
        able = [each for each in self._able if each.health.takes(now) and not each.full and each not in tried]
        if not able:
            return None
        for backend in able:
            if backend.health.ejected:
                return backend  # its time is over, and this request probes it
        return able[0] if len(able) == 1 else self.route.pick(able, self.exchange)

    def _easy(self) -> Detour | None:
        difficulty = self.route.difficulty
        if difficulty is None or not difficulty.sends_away(self.exchange):
            return None
        if not (difficulty.easy.can(self.exchange) and difficulty.easy.available()):
            return None
        return self._detour(difficulty.easy, "easy")

    async def _first(self) -> Attempt | Detour:
        backend = self.other([])
        if backend is not None:
            return self.attempt(backend, "first")
        way = self._way()
        if way is not None:
            self.route.counts.fallbacks += 1
            return self._detour(way, "fallback")
        backend = await self._last_resort()
        return self.attempt(backend, "first", probe=backend.health.ejected)

    async def _after(self, error: PenstockError, kind: FailureKind) -> Attempt | Detour | None:
        if isinstance(self._last, Detour) and self._last.why.reason == "easy":
            self.route.process.budget.spend()
            return await self._first()
        if kind == "context_length" and self.route.longer is not None and self._last_is_own():
            longer = self.route.longer
            if longer.can(self.exchange):
                self.route.process.budget.spend()
                self.route.counts.longer += 1
                return self._detour(longer, "longer")
        if self._last_is_own() and self._retries and (kind in PASSING or kind == "auth"):
            again = await self._again(error, kind)
            if again is not None:
                return again
        if kind in self.route.policy.fallback_on and (way := self._way()) is not None:
            if not self._affords(way.backends):
                return None
            self.route.counts.fallbacks += 1
            return self._detour(way, "fallback")
        return None

    def _affords(self, others: Sequence[Backend]) -> bool:
        """Whether to go on to other targets after a failure.

        One that has not failed since its last answer takes over whatever the budget says: that ends by itself, as
        what fails is left out soon; and when all fail, there is none.
        """
        budget = self.route.process.budget
        if all(other.health.unwell for other in others):
            return budget.take()
        budget.spend()
        return True

    async def _again(self, error: PenstockError, kind: FailureKind) -> Attempt | None:
        """Another attempt at a target of the route: at another one at once, or at the same after a while."""
        process = self.route.process
        other = self.other(self._tried)
        backend, delay = other or self._tried[-1], 0.0
        if other is None:
            delay = process.jitter(self.route.policy.retries - self._retries) + (error.retry_after or 0.0)
            if kind == "auth" or not self._may_wait(backend, delay, kind):
                return None
        if not (process.budget.take() if other is None else self._affords((other,))):
            return None
        self._retries -= 1
        self.route.counts.retries += 1
        if delay:
            await process.sleep(delay)
        return self.attempt(backend, "retry", delay=delay)

    def _may_wait(self, backend: Backend, delay: float, kind: FailureKind) -> bool:
        """Whether to ask the same target again after a delay."""
        left = self.exchange.deadline - self.route.process.now()
        longest = PATIENCE if self._has_way(kind) else LONGEST_WAIT
        return delay <= longest and delay < left and not backend.full and not backend.health.held

    def _last_is_own(self) -> bool:
        return isinstance(self._last, Attempt)

    def _detour(self, route: Route, reason: Reason) -> Detour:
        self._number += 1
        return Detour(route, self.exchange, Why(reason, self._number))

    def _way(self) -> Route | None:
        """The next model to fall back to that could answer now."""
        if self._ways is None:
            self._ways = iter(self.route.fallbacks)
        return next((way for way in self._ways if way.can(self.exchange) and way.available()), None)

    def _has_way(self, kind: FailureKind) -> bool:
        return kind in self.route.policy.fallback_on and any(way.available() for way in self.route.fallbacks)

    async def _last_resort(self) -> Backend:
        """A target although none is well, or has room: the former is asked anyway, the latter waited for.

        Raises `Overloaded` or `UnsupportedFeature`.
        """
        if not self._able:
            raise UnsupportedFeature(
                f"No target of {self.route.name!r} can do what the request asks for.",
                hint="Leave out what only some models can do, or name another model.",
            )
        able = [backend for backend in self._able if not backend.health.held]
        if not able:
            raise Unavailable(
                f"All targets of {self.route.name!r} were taken out of service.",
                hint="Whoever runs the server can put them back: `penstock models restore`.",
            )
        until = self.route.process.now() + self.route.policy.max_wait
        while True:
            well = [backend for backend in able if not backend.health.ejected]
            room = [backend for backend in well or able if not backend.full]
            if room:
                return self.route.pick(room, self.exchange)
            left = min(until, self.exchange.deadline) - self.route.process.now()
            if left <= 0 or not await self.route.room(left, self.exchange):
                background = self.exchange.purpose != "live"
                wait = self.route.line.predicted(background=background)
                raise Overloaded(
                    f"All targets of {self.route.name!r} answer as many requests as they may at once.",
                    hint="Try again in a moment, or raise max_in_flight of its targets.",
                    retry_after=min(LONGEST_RETRY_AFTER, max(FULL_RETRY_AFTER, wait)),
                )
