"""An answer that was given before is given again, and one that is just being made is shared."""

from __future__ import annotations

from functools import partial

from penstock.errors import NotCached
from penstock.gateway.cache.answers import AnswerCache, Found
from penstock.gateway.cache.control import DIRECTIVES, Directives
from penstock.gateway.cache.entry import replay
from penstock.gateway.cache.key import CacheRequest
from penstock.gateway.flight import Flight, Stage

HEADER = b"x-penstock-cache"


class Cache(Stage):
    """Answers from the cache instead of the target's provider, and keeps what the provider answers."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache

    async def inbound(self, flight: Flight) -> None:
        """Raises `NotCached` where the caller takes a stored answer or none."""
        exchange, target, cache = flight.exchange, flight.target, self._cache
        assert target is not None
        directives: Directives | None = exchange.options.get(DIRECTIVES)
        only = directives is not None and directives.only
        request = cache.request(exchange, target, directives)
        if request is None:
            if only:
                raise not_cached("This request is not one that is cached.")
            return
        if directives is None or directives.use:
            if not only and self._join(flight, request):
                return
            found = await cache.find(request, exchange, directives)
            if found is not None:
                self._give(flight, found)
                return
            if not only and self._join(flight, request):
                return
        if only:
            raise not_cached("This answer is not in the cache.")
        self._mark(flight, "miss")
        flight.source = cache.flights.lead(
            (request.key, request.form), flight, partial(cache.keep, request, exchange)
        )

    def end(self, flight: Flight) -> None:
        if flight.cache and flight.span is not None:
            flight.span.set(cache=flight.cache)

    def _join(self, flight: Flight, request: CacheRequest) -> bool:
        listener = self._cache.flights.join((request.key, request.form), flight)
        if listener is None:
            return False
        flight.source = listener
        self._mark(flight, "shared")
        return True

    def _give(self, flight: Flight, found: Found) -> None:
        flight.cache = found.how
        flight.source = replay(found.chunks)
        flight.headers.append((b"age", b"%d" % found.age))
        self._mark(flight, found.how)
        if found.likeness is not None and flight.trace is not None:
            flight.trace.set(**{"penstock.cache.likeness": found.likeness.cosine})

    def _mark(self, flight: Flight, result: str) -> None:
        self._cache.results[result] += 1
        flight.headers.append((HEADER, result.encode()))
        if flight.trace is not None:
            flight.trace.set(cache=result)


def not_cached(message: str) -> NotCached:
    return NotCached(message, hint="Leave out 'Cache-Control: only-if-cached' to have it made.")
