"""Which of several targets is asked. Each strategy picks from those that could answer now."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from random import Random

from penstock.config.routing import Strategy
from penstock.exchange import Exchange, Usage
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.estimate import tokens_of
from penstock.gateway.routing.health import DECAY_SECONDS

Pick = Callable[[Sequence[Backend], Exchange], Backend]
"""From at least one backend, one."""

UNKNOWN_SECONDS = 1.0
"""What a target without a measured latency, but with requests in flight, counts as."""
USUAL_OUTPUT = 256
BOUND = 1.25
"""How much more than its share a target may have in flight before a prefix goes elsewhere."""
PROMPT_START = 1024
"""Characters of a prompt without messages that decide where it goes."""


def strategy(name: Strategy, now: Callable[[], float], random: Random) -> Pick:
    """The strategy of that name."""
    if name == "weighted":
        return lambda backends, exchange: weighted(backends, random)
    if name == "least_in_flight":
        return lambda backends, exchange: least_in_flight(backends, random)
    if name == "latency":
        return lambda backends, exchange: quicker_of_two(backends, now(), random)
    if name == "cost":
        return lambda backends, exchange: cheapest(backends, exchange)
    return by_prefix


def weighted(backends: Sequence[Backend], random: Random) -> Backend:
    """At random, by weight."""
    at = random.random() * sum(backend.weight for backend in backends)
    for backend in backends:
        at -= backend.weight
        if at < 0:
            return backend
    return backends[-1]


def least_in_flight(backends: Sequence[Backend], random: Random) -> Backend:
    """The fewest requests in flight for its weight; of equal ones any."""
    loads = [(backend.health.in_flight + 1) / backend.weight for backend in backends]
    least = min(loads)
    return random.choice([backend for backend, load in zip(backends, loads, strict=True) if load == least])


def quicker_of_two(backends: Sequence[Backend], now: float, random: Random) -> Backend:
    """The power of two choices over peak EWMA (Finagle): latency, times the requests that would wait for it.

    A target that is not asked for a while is forgotten to have been slow, and so asked again. Two at random rather
    than the best of all, so that many gateways do not rush to the same target.
    """
    if len(backends) == 1:
        return backends[0]
    one, other = random.sample(backends, 2)
    return one if expected_wait(one, now) <= expected_wait(other, now) else other


def expected_wait(backend: Backend, now: float) -> float:
    health = backend.health
    if health.average is None:
        return UNKNOWN_SECONDS * health.in_flight
    faded = health.average * math.exp(-max(0.0, now - health.average_at) / DECAY_SECONDS)
    return faded * (health.in_flight + 1) / backend.weight


def cheapest(backends: Sequence[Backend], exchange: Exchange) -> Backend:
    """The lowest price for this request; those without a known price last, of equal ones the least loaded."""
    expected = Usage(tokens_of(exchange), exchange.parameters.max_tokens or USUAL_OUTPUT)
    now = time.time()

    def cost(backend: Backend) -> tuple[float, int]:
        known = backend.price.cost_nanos(expected, now) if backend.price else None
        return (0.0 if backend.free else math.inf) if known is None else float(known), backend.health.in_flight

    return min(backends, key=cost)


def by_prefix(backends: Sequence[Backend], exchange: Exchange) -> Backend:
    """The same opening to the same target, so that its cache of prompts is used, unless that is too loaded.

    Rendezvous hashing with weights (Schindelhauer and Schomaker), and the bound on load of Mirrokni, Thorup and
    Zadimoghaddam: no target gets more than `BOUND` times its share of the requests in flight.
    """
    opening = opening_of(exchange)
    total = sum(backend.health.in_flight for backend in backends) + 1
    weights = sum(backend.weight for backend in backends)
    ranked = sorted(backends, key=lambda backend: -score(opening, backend))
    for backend in ranked:
        if backend.health.in_flight + 1 <= math.ceil(BOUND * total * backend.weight / weights):
            return backend
    return ranked[0]


def opening_of(exchange: Exchange) -> bytes:
    """A conversation up to its first question, which all its later turns share. Tenants share nothing."""
    digest = hashlib.blake2b(exchange.project_id.encode(), digest_size=16)
    for message in exchange.messages:
        digest.update(f"\0{message.role}\0{message.text}".encode("utf-8", "surrogatepass"))
        if message.role == "user":
            break
    if not exchange.messages:
        start = exchange.prompt or (exchange.inputs[0] if exchange.inputs else "")
        digest.update(start[:PROMPT_START].encode("utf-8", "surrogatepass"))
    return digest.digest()


def score(opening: bytes, backend: Backend) -> float:
    """The rank of a target for an opening: the highest gets it, in proportion to its weight."""
    digest = hashlib.blake2b(opening + backend.name.encode(), digest_size=8).digest()
    share = (int.from_bytes(digest) + 1) / (2**64 + 1)
    return -backend.weight / math.log(share)
