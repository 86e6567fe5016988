"""One attempt of a request: at one target, or on a way to another model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from penstock.errors import DeadlineExceeded, FailureKind, UpstreamFailed
from penstock.exchange import Chunk, Exchange
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.content import shows
from penstock.seams import Span

if TYPE_CHECKING:
    from penstock.gateway.routing.route import Route

USUAL_REST = 1.0
"""Seconds that a target is spared which asks to slow down and does not say for how long."""

Reason = Literal["first", "retry", "hedge", "fallback", "longer", "easy"]


class Why(Struct, frozen=True):
    """Why an attempt is made, the how many-th of the request it is, and the seconds waited before it."""

    reason: Reason
    number: int
    delay: float = 0.0


FIRST = Why("first", 1)


class Attempt:
    """A request to one target. What is said of its end counts once; saying it again does no harm."""

    __slots__ = (
        "_done",
        "_process",
        "_provided",
        "_route",
        "backend",
        "chunks",
        "has_opened",
        "head",
        "name",
        "probe",
        "problem",
        "span",
        "started",
        "why",
    )

    def __init__(
        self, route: Route, backend: Backend, exchange: Exchange, why: Why, *, probe: bool = False
    ) -> None:
        self._route = route
        self._process = route.process
        self._done = False
        self.backend = backend
        self.name = backend.name
        self.probe = probe
        self.why = why
        self.head: list[Chunk] = []
        self.problem: Exception | None = None
        self.has_opened = False
        health = backend.health
        health.attempts += 1
        health.in_flight += 1
        if probe:
            health.probing = True
        self.span: Span | None = None
        if why.number > 1 and exchange.tracer is not None:
            self.span = exchange.tracer.span(f"attempt {self.name}")
            self.span.set(**described(self.name, why))
        self.started = self._process.now()
        self.chunks = self._provided = backend.provider.answer(exchange)

    def opened(self) -> None:
        """The first content came."""
        now = self._process.now()
        self.has_opened = True
        self.backend.health.opened(now - self.started, now)

    def priced(self, chunk: Chunk) -> Chunk:
        return self.backend.priced(chunk)

    def succeeded(self) -> None:
        if not self._done:
            self._done = True
            self.backend.health.succeeded(probe=self.probe)

    def failed(self, error: BaseException, kind: FailureKind) -> None:
        """Counts the failure against the target, unless it is only that the request's own time was over."""
        if self._done:
            return
        self._done = True
        upstream = isinstance(error, UpstreamFailed)
        if self.has_opened and isinstance(error, DeadlineExceeded) and not upstream:
            return
        now = self._process.now()
        health = self.backend.health
        alone = not any(each is not self.backend and not each.health.ejected for each in self._route.backends)
        busy = kind == "rate_limit" or (kind == "overloaded" and not upstream)  # our own engines only have a queue
        rule = None if busy else self._route.policy.eject
        health.failed(kind, now, rule, probe=self.probe, alone=alone)
        if busy:
            health.rest(now + (getattr(error, "retry_after", None) or USUAL_REST))

    def tell(self, exchange: Exchange, error: BaseException, kind: FailureKind) -> None:
        """Makes the attempt a span of the trace, also where it was the first, and so had none yet."""
        if exchange.tracer is None:
            return
        if self.span is None:
            self.span = exchange.tracer.span(f"attempt {self.name}")
            self.span.set(**described(self.name, self.why))
            self.span.backdate(self._process.now() - self.started)
        self.span.set(**{"penstock.error.kind": kind})
        self.span.__exit__(type(error), error, None)

    async def pull(self) -> None:
        """Takes chunks into `head` until one shows content, the answer ends, or fails with a `problem`."""
        try:
            async for chunk in self.chunks:
                self.head.append(chunk)
                if shows(chunk):
                    return
        except Exception as error:  # it is raised where the chunks are read
            self.problem = error

    def resume(self) -> None:
        """Makes `chunks` begin with those that were pulled."""
        self.chunks = self._resumed(self.chunks)

    async def _resumed(self, rest: AsyncIterator[Chunk]) -> AsyncGenerator[Chunk, None]:
        for chunk in self.head:
            yield chunk
        if self.problem is not None:
            raise self.problem
        async for chunk in rest:
            yield chunk

    async def close(self) -> None:
        """Cancels what still runs behind it, and gives back its place."""
        health = self.backend.health
        health.in_flight -= 1
        if self.probe:
            health.probing = False
        if self._route.bounded:
            self._route.line.served(self._process.now() - self.started)
            self._route.line.wake()
        if self.span is not None:
            self.span.__exit__(None, None, None)
        if not self._done:  # otherwise it has ended by itself
            for chunks in (self.chunks, self._provided):
                if isinstance(chunks, AsyncGenerator):
                    await chunks.aclose()


class Detour:
    """A way to another model, which has attempts of its own below this one's span."""

    __slots__ = ("chunks", "name", "route", "span", "why")

    def __init__(self, route: Route, exchange: Exchange, why: Why) -> None:
        self.route = route
        self.name = route.name
        self.why = why
        self.span: Span | None = None
        if exchange.tracer is not None:
            self.span = exchange.tracer.span(f"{why.reason} {self.name}")
            self.span.set(**described(self.name, why))
            exchange = exchange.replace(tracer=self.span.tracer)
        self.chunks = route.pursue(exchange, names=True)

    def opened(self) -> None:
        pass

    def priced(self, chunk: Chunk) -> Chunk:
        return chunk

    def succeeded(self) -> None:
        pass

    def failed(self, error: BaseException, kind: FailureKind) -> None:
        pass

    def tell(self, exchange: Exchange, error: BaseException, kind: FailureKind) -> None:
        if self.span is not None:
            self.span.set(**{"penstock.error.kind": kind})
            self.span.__exit__(type(error), error, None)

    async def close(self) -> None:
        if self.span is not None:
            self.span.__exit__(None, None, None)
        await self.chunks.aclose()


def described(name: str, why: Why) -> dict[str, object]:
    """The attributes of an attempt's span."""
    return {
        "penstock.backend": name,
        "penstock.reason": why.reason,
        "penstock.attempt": why.number,
        "penstock.delay_us": int(why.delay * 1e6),
    }
