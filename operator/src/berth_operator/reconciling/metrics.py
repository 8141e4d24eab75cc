"""Metrics of the rounds of reconcilers, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class ReconcileMetrics:
    """The metrics of rounds, by what is reconciled: deployment or download."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._seconds = Histogram(
            "berth_operator_reconcile_seconds",
            "Time of a round: to look at one object, to decide, and to write what follows.",
            ["kind"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._errors = Counter(
            "berth_operator_reconcile_errors",
            "Rounds that failed, by cause: conflict (somebody else has written, and the next round follows at once),"
            " cluster (the API server refused or was away), fault (of Berth).",
            ["kind", "cause"],
            registry=self.registry,
        )
        self._queue = Gauge(
            "berth_operator_queue_length",
            "Objects of which something has changed, and whose round has not begun.",
            ["kind"],
            registry=self.registry,
        )
        self._leads = Gauge(
            "berth_operator_leads",
            "1: this operator works; 0: it waits until it leads.",
            registry=self.registry,
        )

    def round_ended(self, kind: str, seconds: float, cause: str | None) -> None:
        """Counts a round. `cause`: why it failed; None: it did not."""
        self._seconds.labels(kind).observe(seconds)
        if cause:
            self._errors.labels(kind, cause).inc()

    def queued(self, kind: str, length: int) -> None:
        """So many objects of this kind wait for their round."""
        self._queue.labels(kind).set(length)

    def leads(self, *, now: bool) -> None:
        """Whether this operator works from now on."""
        self._leads.set(now)
