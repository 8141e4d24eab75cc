"""docs/reference/metrics.md, from the registries of the router and of the operator."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from berth_operator.downloads.metrics import DownloadMetrics
from berth_operator.reconciling.metrics import ReconcileMetrics
from berth_router.metrics import Metrics
from reference.markdown import entry, page, paragraph


def metrics_page() -> str:
    """The page: each metric with its kind, its labels and its meaning."""
    return page(
        "Metrics",
        "the registries in router/src/berth_router/metrics.py, operator/src/berth_operator/reconciling/metrics.py and "
        "operator/src/berth_operator/downloads/metrics.py",
        paragraph(
            "Prometheus' text format. Each router counts for itself: add the routers up in your queries. "
            "[Operations](../operations.md) says what to watch and when to raise an alarm."
        ),
        "## Router",
        paragraph("`GET /metrics` at the router's own port, 8080 (`router.port`). No API key is asked for."),
        "\n".join(_metrics(Metrics())),
        "## Operator",
        paragraph("`/metrics` at port 8082 of the operator's pod (`operator.metricsPort`; 0: none)."),
        "\n".join([*_metrics(ReconcileMetrics()), *_metrics(DownloadMetrics())]),
    )


def _metrics(owner: object) -> Iterator[str]:
    registry = next(one for one in vars(owner).values() if isinstance(one, CollectorRegistry))
    wrapped = [one for one in vars(owner).values() if isinstance(one, MetricWrapperBase)]
    labels = {family.name: getattr(one, "_labelnames", ()) for one in wrapped for family in one.collect()}
    for family in registry.collect():
        names = labels.get(family.name) or getattr(family, "_labelnames", ())
        facts = [family.type, *([f"labels {', '.join(f'`{name}`' for name in names)}"] if names else [])]
        suffix = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
        yield entry(f"{family.name}{suffix}", facts, family.documentation)
