"""How the targets of every model are, for the API, the command line and the metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from penstock.config.routing import Strategy
from penstock.gateway.registry import Registry
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.health import State
from penstock.gateway.routing.route import Route


class TargetReport(Struct, frozen=True, kw_only=True):
    """One target of a model. Times are seconds to the first token; those of latency are of the last answers.

    `failed` counts failures by kind; `error_share` is the share of attempts in which the target was at fault,
    `None` before the first. `average` is the moving average by which `strategy = "latency"` chooses. `probe_in` is
    when a target that is left out is tried again, `None` for one that is not, or was taken out by hand.
    """

    number: int
    name: str
    state: State
    weight: float
    in_flight: int
    max_in_flight: int | None
    attempts: int
    answered: int
    failed: dict[str, int]
    error_share: float | None
    ejections: int
    probe_in: float | None
    average: float | None
    p50: float | None
    p99: float | None


class DifficultyReport(Struct, frozen=True, kw_only=True):
    """How many requests were answered as easy. `saved_nanos` is what they did not cost, in nano-dollars, where both
    prices are known."""

    easy_model: str
    easy: int
    hard: int
    share: float | None
    saved_nanos: int


class ModelReport(Struct, frozen=True, kw_only=True):
    """One model: its targets, the ways on to others, and how often these and further attempts were needed.

    `names` are those it can be asked by; none for one that is only a fallback. `waiting` are in line for a target,
    `shed` those that were refused because they would have waited too long.
    """

    name: str
    names: tuple[str, ...]
    strategy: Strategy
    targets: tuple[TargetReport, ...]
    fallback: tuple[str, ...]
    longer: str | None
    retries: int
    fallbacks: int
    longer_requests: int
    hedges: int
    waiting: int
    shed: int
    difficulty: DifficultyReport | None


class BudgetReport(Struct, frozen=True, kw_only=True):
    """The process's budget of further attempts: those of the last ten seconds, and all that it denied."""

    attempts: int
    requests: int
    denied: int


class RoutesReport(Struct, frozen=True, kw_only=True):
    data: tuple[ModelReport, ...]
    budget: BudgetReport | None


def routes_of(registry: Registry) -> Iterator[Route]:
    """Every route that a registry leads to, once: those that can be asked first."""
    seen: set[int] = set()
    ahead = [target.provider for target in registry if isinstance(target.provider, Route)]
    while ahead:
        route = ahead.pop(0)
        if id(route) not in seen:
            seen.add(id(route))
            yield route
            ahead += route.leads_to


def report(registry: Registry) -> RoutesReport:
    """How everything is at this moment."""
    routes = list(routes_of(registry))
    names: dict[int, list[str]] = {}
    for target in registry:
        names.setdefault(id(target.provider), []).append(target.name)
    budget = None
    if routes:
        attempts, requests = routes[0].process.budget.used
        budget = BudgetReport(attempts=attempts, requests=requests, denied=routes[0].process.budget.denied)
    return RoutesReport(
        data=tuple(model_report(route, tuple(names.get(id(route), ()))) for route in routes), budget=budget
    )


def model_report(route: Route, names: tuple[str, ...]) -> ModelReport:
    counts, difficulty = route.counts, None
    if route.difficulty is not None:
        difficulty = DifficultyReport(
            easy_model=route.difficulty.easy.name,
            easy=counts.easy,
            hard=counts.hard,
            share=counts.easy_share,
            saved_nanos=counts.saved_nanos,
        )
    now = route.process.now()
    return ModelReport(
        name=route.name,
        names=names,
        strategy=route.policy.strategy,
        targets=tuple(target_report(number, each, now) for number, each in enumerate(route.backends, 1)),
        fallback=tuple(way.name for way in route.fallbacks),
        longer=route.longer.name if route.longer else None,
        retries=counts.retries,
        fallbacks=counts.fallbacks,
        longer_requests=counts.longer,
        hedges=counts.hedges,
        waiting=len(route.line),
        shed=route.line.shed,
        difficulty=difficulty,
    )


def target_report(number: int, backend: Backend, now: float) -> TargetReport:
    health = backend.health
    waits = health.ejected and math.isfinite(health.ejected_until)
    return TargetReport(
        number=number,
        name=backend.name,
        state=health.state(now),
        weight=backend.weight,
        in_flight=health.in_flight,
        max_in_flight=backend.limit,
        attempts=health.attempts,
        answered=health.successes,
        failed={str(kind): count for kind, count in health.failures.items()},
        error_share=health.error_share,
        ejections=health.ejections,
        probe_in=max(0.0, health.ejected_until - now) if waits else None,
        average=health.average,
        p50=health.percentile(0.5),
        p99=health.percentile(0.99),
    )
