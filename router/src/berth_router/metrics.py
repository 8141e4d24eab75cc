"""The metrics of a router, for Prometheus."""

from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_QUEUED_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
"""Seconds: from a small model with llama.cpp to a large one that is read over the network."""


class HotMetrics(Collector):
    """What every request counts: plain numbers, since only the event loop's thread counts."""

    def __init__(self) -> None:
        self.in_flight = 0
        """Inference requests queued or being answered."""
        self.response_bytes = 0
        """Bytes of the engines' answers that were passed on."""
        self.answered: Count[tuple[str, int]] = Count()
        """Inference requests by path and status; 499 is a client that left before its answer began."""

    def collect(self) -> Iterable[Metric]:
        """The counts as Prometheus' types."""
        requests = CounterMetricFamily(
            "berth_router_requests", "Inference requests answered, by path and status.", labels=["path", "status"]
        )
        for (path, status), count in self.answered.items():
            requests.add_metric([path, str(status)], count)
        yield requests
        yield GaugeMetricFamily(
            "berth_router_requests_in_flight", "Inference requests queued or being answered.", self.in_flight
        )
        yield CounterMetricFamily(
            "berth_router_response_bytes", "Bytes of engines' answers passed on.", self.response_bytes
        )


class Metrics:
    """The metrics of one router, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.hot = HotMetrics()
        self._registry.register(self.hot)
        self._queued = Histogram(
            "berth_router_hold_seconds",
            "Time that requests were queued for a model that was not ready, by outcome:"
            " ready, cancelled or an error's code.",
            ["outcome"],
            buckets=_QUEUED_BUCKETS,
            registry=self._registry,
        )
        self.engine_retries = Counter(
            "berth_router_engine_retries",
            "Requests sent again because a connection to an engine failed before the engine had the request.",
            registry=self._registry,
        )
        self.engine_failures = Counter(
            "berth_router_engine_failures", "Answers that an engine broke off.", registry=self._registry
        )

    def count_queued(self, outcome: str, seconds: float) -> None:
        """Counts a request that was queued. `outcome`: see the metric."""
        self._queued.labels(outcome).observe(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
