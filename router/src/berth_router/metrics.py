"""What Prometheus can ask a router."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HOLD_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
"""Seconds: from llama.cpp with a small model to a large one that is read over the network."""


class Metrics:
    """The metrics of one router, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "berth_router_requests", "Inference requests answered, by path and status.", ["path", "status"], registry=self._registry
        )
        self.in_flight = Gauge("berth_router_requests_in_flight", "Inference requests held or being answered.", registry=self._registry)
        self._held = Histogram(
            "berth_router_hold_seconds",
            "Time that requests were held for a model that was not ready, by how it ended: ready, cancelled or an error's code.",
            ["outcome"],
            buckets=_HOLD_BUCKETS,
            registry=self._registry,
        )
        self.response_bytes = Counter("berth_router_response_bytes", "Bytes of engines' answers passed on.", registry=self._registry)
        self.engine_retries = Counter(
            "berth_router_engine_retries",
            "Requests sent again because a connection to an engine failed before the engine had the request.",
            registry=self._registry,
        )
        self.engine_failures = Counter("berth_router_engine_failures", "Answers that an engine broke off.", registry=self._registry)

    def answered(self, path: str, status: int) -> None:
        """Counts an inference request; 499 is a client that left before its answer began."""
        self._requests.labels(path, str(status)).inc()

    def held(self, outcome: str, seconds: float) -> None:
        """Counts a request that was held."""
        self._held.labels(outcome).observe(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
