"""The figures of all routes in Prometheus' form, read from what they count anyway."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from penstock.gateway.registry import Registry
from penstock.gateway.routing.report import ModelReport, TargetReport, report

PLACE = ("model", "target")
UP = ("healthy", "resting")


def route_metrics(registry: Registry) -> Iterator[Metric]:
    """Attempts and failures by target, further attempts by model, and the budget."""
    found = report(registry)
    targets = [((model.name, each.name), each) for model in found.data for each in model.targets]
    yield from target_metrics(targets)
    yield from model_metrics(found.data)
    if found.budget is not None:
        yield CounterMetricFamily(
            "penstock_retry_budget_denied",
            "Further attempts that were not made, because the process had made too many.",
            found.budget.denied,
        )


def target_metrics(targets: list[tuple[tuple[str, str], TargetReport]]) -> Iterator[Metric]:
    attempts = CounterMetricFamily("penstock_attempts", "Requests that a target was sent.", labels=PLACE)
    failures = CounterMetricFamily(
        "penstock_attempt_failures", "Requests that failed at a target.", labels=[*PLACE, "kind"]
    )
    ejections = CounterMetricFamily("penstock_ejections", "Times that a target was left out.", labels=PLACE)
    running = GaugeMetricFamily("penstock_target_in_flight", "Requests in flight at a target.", labels=PLACE)
    up = GaugeMetricFamily("penstock_target_up", "1 while requests go to it, 0 while it is left out.", labels=PLACE)
    average = GaugeMetricFamily(
        "penstock_target_first_token_seconds", "Moving average of the time to the first token.", labels=PLACE
    )
    for place, each in targets:
        attempts.add_metric(place, each.attempts)
        for kind, count in each.failed.items():
            failures.add_metric((*place, kind), count)
        ejections.add_metric(place, each.ejections)
        running.add_metric(place, each.in_flight)
        up.add_metric(place, float(each.state in UP))
        if each.average is not None:
            average.add_metric(place, each.average)
    yield from (attempts, failures, ejections, running, up, average)


def model_metrics(models: tuple[ModelReport, ...]) -> Iterator[Metric]:
    retries = CounterMetricFamily("penstock_retries", "Further attempts at a model's targets.", labels=["model"])
    fallbacks = CounterMetricFamily(
        "penstock_fallbacks", "Requests that went on to another model.", labels=["model", "reason"]
    )
    hedges = CounterMetricFamily("penstock_hedges", "Second attempts beside a slow one.", labels=["model"])
    difficulty = CounterMetricFamily(
        "penstock_difficulty", "Answers by how hard the request seemed.", labels=["model", "difficulty"]
    )
    saved = CounterMetricFamily(
        "penstock_difficulty_saved_dollars", "What answers by the easy model did not cost.", labels=["model"]
    )
    waiting = GaugeMetricFamily("penstock_model_waiting", "Requests in line for a target.", labels=["model"])
    shed = CounterMetricFamily(
        "penstock_model_shed", "Requests refused because they would have waited too long.", labels=["model"]
    )
    for model in models:
        waiting.add_metric((model.name,), model.waiting)
        shed.add_metric((model.name,), model.shed)
        retries.add_metric((model.name,), model.retries)
        fallbacks.add_metric((model.name, "failed"), model.fallbacks)
        fallbacks.add_metric((model.name, "longer"), model.longer_requests)
        hedges.add_metric((model.name,), model.hedges)
        if model.difficulty is not None:
            difficulty.add_metric((model.name, "easy"), model.difficulty.easy)
            difficulty.add_metric((model.name, "hard"), model.difficulty.hard)
            saved.add_metric((model.name,), model.difficulty.saved_nanos / 1e9)
    yield from (waiting, shed, retries, fallbacks, hedges, difficulty, saved)
