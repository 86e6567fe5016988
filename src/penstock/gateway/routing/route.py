"""A model behind several targets, presented as one provider.

    pick a target ─▶ try ─▶ retry, here or at another, within the budget ─▶ fall back to another model
                      │
                      └─ first content ─▶ from here on the answer stands or breaks; nothing is asked again

A fallback is a route of its own, so retries are providers around providers and nothing jumps back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence

from penstock.errors import PenstockError, UnsupportedFeature, UpstreamFailed
from penstock.exchange import Chunk, Exchange, Operation, Usage
from penstock.gateway.routing.attempt import FIRST, Attempt, Detour
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.call import RouteCall
from penstock.gateway.routing.counts import Counts
from penstock.gateway.routing.delivery import Delivery
from penstock.gateway.routing.difficulty import Difficulty
from penstock.gateway.routing.hedge import race
from penstock.gateway.routing.kinds import kind_of
from penstock.gateway.routing.line import Line
from penstock.gateway.routing.policy import Policy, Process
from penstock.gateway.routing.strategies import strategy
from penstock.models.dialects.features import unmet
from penstock.models.dialects.needs import uncounted
from penstock.seams import TokenCounter


class Route:
    """Answers exchanges by its `backends` (`seams.Provider`).

    `fallbacks`, `longer` and `difficulty` lead to other routes; `lead` sets them.
    """

    def __init__(self, name: str, backends: Sequence[Backend], policy: Policy, process: Process) -> None:
        self._name = name
        self.backends = tuple(backends)
        self.policy = policy
        self.process = process
        self.pick = strategy(policy.strategy, process.now, process.random)
        self.fallbacks: tuple[Route, ...] = ()
        self.longer: Route | None = None
        self.difficulty: Difficulty | None = None
        self.chooses = len(self.backends) > 1
        self.bounded = any(backend.limit is not None for backend in backends)
        self.counts = Counts()
        self.stand(Line())
        self._mixed = len({(backend.features, backend.forwards, backend.lacks) for backend in backends}) > 1
        self._by_operation: dict[Operation, tuple[Backend, ...]] = {
            operation: tuple(backend for backend in backends if operation in backend.operations)
            for operation in self.operations
        }

    @property
    def name(self) -> str:
        return self._name

    @property
    def operations(self) -> frozenset[Operation]:
        return frozenset[Operation]().union(*(backend.operations for backend in self.backends))

    @property
    def features(self) -> frozenset[str] | None:
        """What any of the targets can do; `None` is everything."""
        known = [backend.features for backend in self.backends]
        return None if None in known else frozenset[str]().union(*(each for each in known if each is not None))

    @property
    def forwards(self) -> frozenset[str]:
        """The dialects whose bodies any of the targets passes on as they came."""
        return frozenset[str]().union(*(backend.forwards for backend in self.backends))

    @property
    def lacks(self) -> frozenset[str]:
        """What none of the targets can do, of what would otherwise be passed on."""
        return frozenset.intersection(*(backend.lacks for backend in self.backends))

    @property
    def leads_to(self) -> tuple[Route, ...]:
        """The other routes that it may ask."""
        further = (self.longer, self.difficulty.easy if self.difficulty else None)
        return self.fallbacks + tuple(route for route in further if route is not None)

    def stand(self, line: Line) -> None:
        """Sets the line of those who wait for a target, which may have begun under an older configuration."""
        self.line = line
        line.places = sum(backend.limit or 0 for backend in self.backends) or 1

    def lead(self, fallbacks: tuple[Route, ...], longer: Route | None, difficulty: Difficulty | None) -> None:
        """Sets the ways to other routes, once these exist."""
        self.fallbacks, self.longer, self.difficulty = fallbacks, longer, difficulty
        self.chooses = len(self.backends) > 1 or bool(self.leads_to)

    def answer(self, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        """Raises a `PenstockError`: what the last target of its own said, when nothing is left to ask."""
        self.process.budget.saw_request(self.process.now())
        return self.pursue(exchange, names=self.chooses)

    async def pursue(self, exchange: Exchange, *, names: bool) -> AsyncGenerator[Chunk, None]:
        """`answer`, for a request that another route has counted. `names` tells who answers (`served_by`)."""
        exchange = self._in_time(exchange)
        call: RouteCall | None = None
        delivery = Delivery(exchange, names=names)
        source: Attempt | Detour | None = self._straight(exchange)
        while True:
            if source is None:
                call = call or RouteCall(self, exchange)
                source = await call.next()
            try:
                if call and self.policy.hedge_after is not None and isinstance(source, Attempt):
                    source = await race(call, source, self.policy.hedge_after)
                async for chunk in source.chunks:
                    given: Chunk | None = chunk if delivery.opened else delivery.begun(source, chunk)
                    if given is not None:
                        if given.usage is not None:
                            given = source.priced(given)
                            delivery.usage = given.usage
                        delivery.size += len(given.text)
                        yield given
                source.succeeded()
                if (rest := self._ended(source, delivery)) is not None:
                    yield rest
                return
            except PenstockError as error:
                kind = kind_of(error)
                source.failed(error, kind)
                call = call or RouteCall(self, exchange, made=1)
                call.failed(source, error, kind)
                if delivery.stands:
                    if isinstance(source, Attempt):
                        yield Chunk(usage=source.backend.charged(delivery.reckoned()))
                    raise broken(error) from None
            except Exception as error:
                source.failed(error, "server_error")
                raise
            finally:
                await source.close()
            source = None

    def _in_time(self, exchange: Exchange) -> Exchange:
        """The exchange with no more time than the route has in total."""
        if self.policy.total is None:
            return exchange
        return exchange.replace(deadline=min(self.process.now() + self.policy.total, exchange.deadline))

    def _straight(self, exchange: Exchange) -> Attempt | None:
        """The first attempt, where it needs no thought: at the only target, which is well."""
        able = self.able(exchange)
        if len(able) != 1 or self.difficulty is not None or self.policy.hedge_after is not None:
            return None
        backend = able[0]
        health = backend.health
        if health.in_row or health.ejected_until or health.rests_until or backend.limit is not None:
            return None
        return Attempt(self, backend, exchange, FIRST)

    def able(self, exchange: Exchange) -> tuple[Backend, ...]:
        """The targets that can do what is asked. Where all can do the same, the pipeline has seen to it."""
        backends = self._by_operation.get(exchange.operation, ())
        return tuple(each for each in backends if not unmet(exchange, each)) if self._mixed else backends

    def can(self, exchange: Exchange) -> bool:
        """Whether a route that was not resolved for the exchange could answer it."""
        return any(not unmet(exchange, each) for each in self._by_operation.get(exchange.operation, ()))

    async def count_tokens(self, exchange: Exchange) -> int:
        """The tokens of a request, by the first target that can count them. Raises `UnsupportedFeature`."""
        for backend in self.able(exchange):
            if isinstance(backend.provider, TokenCounter):
                with contextlib.suppress(UnsupportedFeature):
                    return await backend.provider.count_tokens(exchange)
        raise uncounted(self.name)

    def available(self) -> bool:
        """Whether a request would be answered by a target that is well and has room."""
        now = self.process.now()
        return any(each.health.takes(now) and not each.full for each in self.backends) or any(
            way.available() for way in self.fallbacks
        )

    async def room(self, seconds: float, exchange: Exchange) -> bool:
        """Waits in line for a place at a target; false, mostly at once, when none is to be had within `seconds`."""
        return await self.line.wait(self.process.now(), seconds, background=exchange.purpose != "live")

    def _ended(self, source: Attempt | Detour, delivery: Delivery) -> Chunk | None:
        """Counts an answer that came to its end; a chunk with its usage, where the provider counted none."""
        if self.difficulty is not None:
            self._count(source.why.reason == "easy", delivery.usage)
        if delivery.usage is not None or isinstance(source, Detour) or not delivery.is_text:
            return None
        return Chunk(usage=source.backend.charged(delivery.reckoned()))

    def _count(self, easy: bool, usage: Usage | None) -> None:
        """Counts an answer as easy or not, and what it would have cost at the first target, less what it did."""
        if not easy:
            self.counts.hard += 1
            return
        self.counts.easy += 1
        price = self.backends[0].price
        if usage is not None and usage.cost_nanos is not None and price is not None:
            instead = price.cost_nanos(usage, time.time())
            self.counts.saved_nanos += 0 if instead is None else instead - usage.cost_nanos

    async def close(self) -> None:
        for backend in self.backends:
            await backend.provider.close()


def broken(error: PenstockError) -> PenstockError:
    """The error at the end of an answer that had begun."""
    if isinstance(error, UpstreamFailed):
        error.kind = "broken_stream"
    return error
