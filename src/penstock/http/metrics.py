"""/metrics: what the pipeline counted, and how the engines and the trace writer are, in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.limits.values import DIMENSIONS
from penstock.access.principal import require_local
from penstock.access.routes import GuardedRoute, principal_of
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.routing.metrics import route_metrics
from penstock.gateway.services import Services
from penstock.http.figures import summed
from penstock.seams import EngineHealth


class Parts(Collector):
    """Asks the local processes how they are, at the moment of the scrape."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        found = {name: check() for name, check in self._services.health.items()}
        yield gauge("penstock_engine_ready", "1 when it can answer.", found, lambda each: each.state == "ready")
        yield gauge("penstock_engine_running", "Requests that it works on.", found, lambda each: each.running)
        yield gauge("penstock_engine_waiting", "Requests in its queue.", found, lambda each: each.waiting)
        yield gauge("penstock_engine_restarts", "Times it was started again.", found, lambda each: each.restarts)
        yield gauge("penstock_engine_memory_bytes", "Its memory.", found, lambda each: each.memory_bytes)
        yield gauge(
            "penstock_engine_cache_used", "Used share of its KV cache.", found, lambda each: each.cache_used
        )
        stats = self._services.traces.stats()
        yield CounterMetricFamily("penstock_traces_written", "Traces stored since the start.", stats.written)
        yield CounterMetricFamily("penstock_traces_dropped", "Traces that did not fit the queue.", stats.dropped)
        yield GaugeMetricFamily("penstock_traces_queued", "Traces that wait for the disk.", stats.queued)
        yield GaugeMetricFamily("penstock_traces_queued_bytes", "Memory that they take.", stats.queued_bytes)
        services = self._services
        if services.ledger is not None:
            yield GaugeMetricFamily(
                "penstock_ledger_queued", "Calls that wait for the ledger.", services.ledger.queued
            )
        if services.limits is not None:
            denied = CounterMetricFamily(
                "penstock_limit_denials", "Requests that a limit refused.", labels=["dimension"]
            )
            for dimension, count in zip(DIMENSIONS, services.limits.denied, strict=True):
                denied.add_metric([dimension], count)
            yield denied
        if services.admission is not None:
            shed = CounterMetricFamily(
                "penstock_shed", "Requests refused because the server was full.", labels=["priority"]
            )
            for priority, count in services.admission.shed.items():
                shed.add_metric([priority], count)
            yield shed
        if self._services.cache is not None:
            yield from cache_metrics(self._services.cache)
        yield from route_metrics(self._services.registry)


def cache_metrics(cache: AnswerCache) -> Iterable[Metric]:
    """What the cache did and holds; what only the store's own server knows has no sample."""
    done = CounterMetricFamily("penstock_cache_requests", "Requests that the cache took.", labels=["result"])
    for result, count in cache.results.items():
        done.add_metric([result], count)
    yield done
    stats = cache.store.stats()
    yield CounterMetricFamily("penstock_cache_evicted", "Answers that made room for others.", stats.evicted)
    yield CounterMetricFamily("penstock_cache_failures", "What the store could not do.", stats.failures)
    yield GaugeMetricFamily("penstock_cache_up", "1 while the store answers.", float(stats.up))
    if stats.bytes is not None:
        yield GaugeMetricFamily("penstock_cache_bytes", "What the stored answers take.", stats.bytes)
    if stats.entries is not None:
        yield GaugeMetricFamily("penstock_cache_entries", "Answers that are stored.", stats.entries)


def gauge(
    name: str, help: str, found: dict[str, EngineHealth], read: Callable[[EngineHealth], float | None]
) -> Metric:
    """One figure of every engine; an engine that does not know it has no sample."""
    family = GaugeMetricFamily(name, help, labels=["engine"])
    for engine, health in found.items():
        value = read(health)
        if value is not None:
            family.add_metric([engine], float(value))
    return family


async def metrics(request: Request) -> Response:
    require_local(principal_of(request), "Reading the server's figures")
    services: Services = request.app.state.services
    text = own_figures(services)
    if services.peers is not None:
        text = summed([text, *(await services.peers.ask("metrics")).values()])
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def own_figures(services: Services) -> bytes:
    """The figures of this process alone."""
    parts = CollectorRegistry(auto_describe=False)
    parts.register(Parts(services))
    return generate_latest(services.meter.registry) + generate_latest(parts)


def routes() -> list[BaseRoute]:
    return [GuardedRoute("/metrics", metrics, role="viewer")]
