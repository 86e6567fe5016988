"""What is counted, in Prometheus' form; `/metrics` shows it.

What is counted with every request is kept in plain fields and given the library's form when somebody asks: its own
counters take a lock for each step, and a request takes many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.exchange import Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKENS = ("input", "cached_input", "cache_write", "output", "reasoning")


class Times:
    """A histogram of seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> Iterator[tuple[str, float]]:
        total = 0
        for bound, count in zip((*SECONDS, float("inf")), self.counts, strict=True):
            total += count
            yield "+Inf" if bound == float("inf") else str(bound), total


class Traffic:
    """The requests of one route to one model."""

    __slots__ = ("first", "seconds", "status")

    def __init__(self) -> None:
        self.status: dict[int, int] = {}
        self.seconds = Times()
        self.first = Times()


class Running(Protocol):
    @property
    def running(self) -> int: ...


class Meter(Collector):
    """The counters of one server. `model` is only ever a configured name, so that labels stay few.

    `in_flight` tells of the requests that go on, `connections` are those that are open; `bytes_in` and `bytes_out`
    count bodies of model calls.
    `registry` takes further metrics of the parts of the gateway, which are counted more seldom.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.registry.register(self)
        self.in_flight: Running | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.connections: Sized = ()
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self._tokens: dict[str, list[int]] = {}

    def count_request(
        self, route: str, model: str, status: int, seconds: float | None = None, first_chunk: float | None = None
    ) -> None:
        """Adds one request that is over; `model` is "" where it did not come to one.

        `seconds` are those it took, `first_chunk` those to the first piece of its answer.
        """
        traffic = self._traffic.get((route, model))
        if traffic is None:
            traffic = self._traffic[route, model] = Traffic()
        traffic.status[status] = traffic.status.get(status, 0) + 1
        if seconds is not None:
            traffic.seconds.add(seconds)
        if first_chunk is not None:
            traffic.first.add(first_chunk)

    def count_tokens(self, model: str, usage: Usage) -> None:
        """Adds what one model call used."""
        tokens = self._tokens.get(model)
        if tokens is None:
            tokens = self._tokens[model] = [0] * len(TOKENS)
        tokens[0] += usage.input
        tokens[1] += usage.cached_input or 0
        tokens[2] += usage.cache_write or 0
        tokens[3] += usage.output
        tokens[4] += usage.reasoning or 0

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "penstock_requests",
            "Requests by route, model and HTTP status; 499 is a client that left.",
            labels=["route", "model", "status"],
        )
        for (route, model), traffic in list(self._traffic.items()):
            for status, count in list(traffic.status.items()):
                requests.add_metric([route, model, str(status)], count)
        yield requests
        yield self._histogram(
            "penstock_request_seconds",
            "Time from the request's body to the end of its answer.",
            [(labels, traffic.seconds) for labels, traffic in list(self._traffic.items())],
        )
        yield self._histogram(
            "penstock_first_chunk_seconds",
            "Time from the request's body to the first piece of its answer.",
            [(labels, traffic.first) for labels, traffic in list(self._traffic.items())],
        )
        running = self.in_flight.running if self.in_flight is not None else 0
        yield GaugeMetricFamily("penstock_requests_in_flight", "Requests that were admitted and go on.", running)
        yield CounterMetricFamily("penstock_bytes_in", "Bytes of the bodies of model calls.", self.bytes_in)
        yield CounterMetricFamily("penstock_bytes_out", "Bytes of the bodies of their answers.", self.bytes_out)
        yield GaugeMetricFamily("penstock_connections", "Connections that are open.", len(self.connections))
        used = CounterMetricFamily(
            "penstock_tokens",
            "Tokens by model and class; the classes do not overlap.",
            labels=["model", "class"],
        )
        for model, tokens in list(self._tokens.items()):
            for name, count in zip(TOKENS, tokens, strict=True):
                if count:
                    used.add_metric([model, name], count)
        yield used

    def _histogram(
        self, name: str, about: str, series: Sequence[tuple[tuple[str, str], Times]]
    ) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, about, labels=["route", "model"])
        for labels, times in series:
            buckets = list(times.buckets())
            if buckets[-1][1]:
                family.add_metric(list(labels), buckets, times.sum)
        return family
