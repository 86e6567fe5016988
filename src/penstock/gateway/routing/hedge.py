"""A second attempt beside one that is slow: the first to show content wins, the other is cancelled."""

from __future__ import annotations

import asyncio

from penstock.errors import PenstockError
from penstock.exchange import Exchange
from penstock.gateway.routing.attempt import Attempt
from penstock.gateway.routing.call import RouteCall
from penstock.gateway.routing.estimate import usage_of
from penstock.gateway.routing.kinds import kind_of


async def race(call: RouteCall, first: Attempt, after: float) -> Attempt:
    """The attempt that showed content first, or failed last; the other one is closed.

    The second begins `after` seconds, at another target, where the budget allows it.
    """
    process = call.route.process
    one = asyncio.ensure_future(first.pull())
    timer = asyncio.ensure_future(process.sleep(after))
    try:
        await asyncio.wait({one, timer}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        if one.done():
            return resumed(first)
        backend = call.other([first.backend])
        if backend is None or not process.budget.take():
            await one
            return resumed(first)
    except BaseException:
        timer.cancel()
        await settled(one)
        raise
    call.route.counts.hedges += 1
    return await between(call, first, one, call.attempt(backend, "hedge", delay=after))


async def between(call: RouteCall, first: Attempt, one: asyncio.Future[None], second: Attempt) -> Attempt:
    two = asyncio.ensure_future(second.pull())
    attempts = {one: first, two: second}
    try:
        done, pending = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
        ahead = attempts[done.pop()] if len(done) == 1 else first
        behind = second if ahead is first else first
        if ahead.problem is not None and pending:
            fail(call, ahead)
            await asyncio.wait(pending)
            ahead, behind = behind, ahead
        elif ahead.problem is not None and behind.problem is None:
            ahead, behind = behind, ahead
    except BaseException:
        await settled(one, two)
        await second.close()
        raise
    await settled(one, two)
    if behind.problem is None:
        lose(call.exchange, behind)
    else:
        fail(call, behind)
    await behind.close()
    return resumed(ahead)


def resumed(attempt: Attempt) -> Attempt:
    attempt.resume()
    return attempt


def fail(call: RouteCall, attempt: Attempt) -> None:
    """The end of an attempt whose failure the request does not feel."""
    assert attempt.problem is not None
    kind = kind_of(attempt.problem)
    attempt.failed(attempt.problem, kind)
    if isinstance(attempt.problem, PenstockError):
        call.failed(attempt, attempt.problem, kind)


def lose(exchange: Exchange, attempt: Attempt) -> None:
    """What the cancelled attempt cost is not known; the trace says what its prompt alone would."""
    if attempt.span is not None:
        usage = attempt.backend.charged(usage_of(exchange, sum(len(chunk.text) for chunk in attempt.head)))
        attempt.span.set(usage=usage, **{"penstock.hedge": "lost"})


async def settled(*tasks: asyncio.Future[None]) -> None:
    """Cancels what still runs, and waits until it is over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
