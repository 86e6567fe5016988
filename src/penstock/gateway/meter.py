"""What is counted, in Prometheus' form; `/metrics` shows it."""

from __future__ import annotations

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

    def count_tokens(self, model: str, usage: Usage) -> None:
        """Adds what one model call used."""
        classes = {
            "input": usage.input,
            "cached_input": usage.cached_input,
            "output": usage.output,
            "reasoning": usage.reasoning,
        }
        for name, tokens in classes.items():
            if tokens:
                self.tokens.labels(model, name).inc(tokens)
