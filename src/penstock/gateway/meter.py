"""What is counted, in Prometheus' form; `/metrics` shows it."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from penstock.exchange import Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Meter:
    """The counters of one server. `model` is only ever a configured name, so that labels stay few."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.requests = Counter(
            "penstock_requests_total",
            "Requests by route, model and HTTP status; 499 is a client that left.",
            ["route", "model", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "penstock_request_seconds",
            "Time from the request's body to the end of its answer.",
            ["route", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.first_chunk_seconds = Histogram(
            "penstock_first_chunk_seconds",
            "Time from the request's body to the first piece of its answer.",
            ["route", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "penstock_requests_in_flight", "Requests that were admitted and go on.", registry=self.registry
        )
        self.tokens = Counter(
            "penstock_tokens_total",
            "Tokens by model and class; the classes do not overlap.",
            ["model", "class"],
            registry=self.registry,
        )

        self._labelled: dict[tuple[str, ...], Any] = {}

    def count_request(self, route: str, model: str, status: int) -> None:
        """Adds one request that is over; `model` is "" where it did not come to one."""
        key = ("requests", route, model, str(status))
        (self._labelled.get(key) or self._add(key, self.requests)).inc()

    def time_request(self, route: str, model: str, seconds: float, first_chunk: float | None) -> None:
        """Adds the seconds that one request took, and those to the first piece of its answer."""
        key = ("seconds", route, model)
        (self._labelled.get(key) or self._add(key, self.seconds)).observe(seconds)
        if first_chunk is not None:
            key = ("first_chunk_seconds", route, model)
            (self._labelled.get(key) or self._add(key, self.first_chunk_seconds)).observe(first_chunk)

    def count_tokens(self, model: str, usage: Usage) -> None:
        """Adds what one model call used."""
        classes = (
            ("input", usage.input),
            ("cached_input", usage.cached_input),
            ("output", usage.output),
            ("reasoning", usage.reasoning),
        )
        for name, tokens in classes:
            if tokens:
                key = ("tokens", model, name)
                (self._labelled.get(key) or self._add(key, self.tokens)).inc(tokens)

    def _add(self, key: tuple[str, ...], metric: Counter | Histogram) -> Any:
        """Looking labels up costs more than counting, so what they lead to is kept."""
        found = self._labelled[key] = metric.labels(*key[1:])
        return found
