"""What a request may use is taken from its limits before it runs, and set right when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from penstock.access.limits import Limits, Part, Reservation
from penstock.access.limits.estimate import Estimator, input_tokens
from penstock.errors import DeadlineExceeded
from penstock.exchange import Usage
from penstock.gateway.flight import Flight, Stage
from penstock.gateway.registry import Target

UNDELIVERED = (asyncio.CancelledError, GeneratorExit, DeadlineExceeded)
"""The ends of a flight at which the model was still at work: nobody waited any longer."""


class Reserve(Stage):
    """A caller's request counts in requests and concurrency, the call of a model in tokens and money.

    An app's own calls count for whoever asked the app, and not as requests: none waits for what its parent holds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._estimator = Estimator()

    def inbound(self, flight: Flight) -> Awaitable[None] | None:
        """Raises `RateLimited` or `BudgetExceeded`."""
        exchange, target = flight.exchange, flight.target
        assert target is not None
        if flight.is_root:
            part: Part = "all" if target.is_leaf else "request"
        elif target.is_leaf:
            part = "work"
        else:
            return None
        plan = self._limits.plan(exchange.principal, target.name, part)
        if not plan.limits:
            return None
        tokens = output = 0
        cost: int | None = 0
        if plan.tokens or plan.money:
            tokens, output = self._estimator.tokens(exchange, target.name)
            if plan.money:
                cost = flight.reserved_nanos = estimated_cost(target, Usage(tokens, output))
        taken = self._limits.take(plan, exchange.user, tokens + output, cost)
        if not isinstance(taken, Reservation):
            return wait(flight, taken)
        flight.reservation = taken
        flight.headers += taken.headers()
        return None

    def end(self, flight: Flight) -> None:
        reservation, usage = flight.reservation, flight.usage
        if reservation is None:
            return
        if flight.cache:
            reservation.settle(0, 0)
        elif usage is not None:
            assert flight.target is not None
            output = usage.completion_tokens
            if flight.error is None:
                self._estimator.learn(flight.target.name, output)
            reservation.settle(usage.prompt_tokens + output, usage.cost_nanos)
        elif flight.error is None:
            reservation.settle(None, None)
        else:
            settle_broken(flight, reservation)


async def wait(flight: Flight, taken: Awaitable[Reservation]) -> None:
    flight.reservation = await taken
    flight.headers += flight.reservation.headers()


def settle_broken(flight: Flight, reservation: Reservation) -> None:
    """For an answer that broke off without its usage: each chunk counts as one token, as most are.

    Before the first one, a request that failed used nothing; where nobody waited any longer, the prompt was read.
    """
    if not flight.passed and not isinstance(flight.error, UNDELIVERED):
        reservation.settle(0, 0)
        return
    assert flight.target is not None
    used = Usage(input_tokens(flight.exchange), flight.passed)
    reservation.settle(used.input + used.output, estimated_cost(flight.target, used))


def estimated_cost(target: Target, usage: Usage) -> int | None:
    """Nano-dollars; `None` where the price is not known."""
    return None if target.price is None else target.price.cost_nanos(usage, time.time())
