"""Routes over scripted targets, on a clock that moves only when a route waits."""

import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from penstock.clock import ManualClock
from penstock.errors import FailureKind, UpstreamFailed
from penstock.exchange import Chunk, Exchange, Message, Usage
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.policy import Policy, Process
from penstock.gateway.routing.route import Route
from penstock.ids import new_id, new_trace_id
from penstock.testing import FakeProvider
from penstock.testing.provider import Step

CHAT = frozenset({"chat", "complete"})


class Stage:
    """One process in which routes run: a clock, a seed, and the seconds that were waited."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.waits: list[float] = []
        self.process = Process(self.clock, random.Random(seed), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def busy(self, requests: int = 1000) -> None:
        """So many requests just came, so that there is budget for retries."""
        for _ in range(requests):
            self.process.budget.saw_request(self.clock.monotonic())

    def route(self, *backends: Backend, name: str = "m", **policy: Any) -> Route:
        return Route(name, backends, Policy(**policy), self.process)


class Turns:
    """A provider that takes the next of several scripts for each request, and repeats the last."""

    def __init__(self, *scripts: Sequence[Step], name: str = "turns") -> None:
        self._scripts = list(scripts)
        self.fake = FakeProvider(name=name, script=lambda exchange: self._next())

    def _next(self) -> Sequence[Step]:
        return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]


class Flat:
    """A price of the same nano-dollars for each token."""

    def __init__(self, nanos: int) -> None:
        self._nanos = nanos

    def cost_nanos(self, usage: Usage, now: float) -> int | None:
        return self._nanos * (usage.prompt_tokens + usage.completion_tokens)


def target(name: str, *steps: Step, provider: FakeProvider | None = None, **fields: Any) -> Backend:
    """A target that answers by the steps, by default with its own name."""
    made = Backend(name, provider or FakeProvider(*(steps or (name,)), name=name), CHAT)
    made.features = None
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def turns(name: str, *scripts: Sequence[Step]) -> Backend:
    return target(name, provider=Turns(*scripts, name=name).fake)


def failure(kind: FailureKind = "server_error", **fields: Any) -> UpstreamFailed:
    return UpstreamFailed(f"it failed: {kind}", kind=kind, **fields)


def ask(text: str = "Hi", **fields: Any) -> Exchange:
    fields = {"messages": (Message("user", text),)} | fields
    return Exchange(id=new_id("req"), trace_id=new_trace_id(), model="m", **fields)


async def answer(route: Route, exchange: Exchange | None = None) -> list[Chunk]:
    async with aclosing(route.answer(exchange or ask())) as chunks:
        return [chunk async for chunk in chunks]


async def said(route: Route, exchange: Exchange | None = None) -> str:
    return "".join(chunk.text for chunk in await answer(route, exchange))


def asked(backend: Backend) -> int:
    """How many requests the target was sent."""
    provider = backend.provider
    assert isinstance(provider, FakeProvider)
    return len(provider.exchanges)
