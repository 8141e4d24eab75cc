"""Metrics of downloads for Prometheus."""

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from berth_api.model_download import DownloadPhase, ModelDownload, ModelDownloadStatus


class DownloadMetrics:
    """The metrics of downloads.

    Bytes and ends are counted when a status is written, so that none is counted twice.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._downloads = Gauge(
            "berth_downloads", "ModelDownloads that there are, by phase.", ["phase"], registry=self.registry
        )
        self._fetched = Counter(
            "berth_download_bytes",
            "Bytes fetched from the hub, what had to be fetched twice included.",
            registry=self.registry,
        )
        self._finished = Counter(
            "berth_downloads_finished",
            "Downloads that have ended, by how they ended.",
            ["phase", "reason"],
            registry=self.registry,
        )

    def seen(self, downloads: Iterable[ModelDownload]) -> None:
        """Counts the downloads by phase. `downloads`: all that there are."""
        tally = Tally(download.status.phase or DownloadPhase.PENDING for download in downloads)
        for phase in DownloadPhase:
            self._downloads.labels(phase.value).set(tally[phase])

    def written(self, before: ModelDownloadStatus, after: ModelDownloadStatus) -> None:
        """Counts one download's change from the stored status to the written one."""
        self._downloads.labels((before.phase or DownloadPhase.PENDING).value).dec()
        self._downloads.labels((after.phase or DownloadPhase.PENDING).value).inc()
        fetched, known = after.bytes_fetched or 0, before.bytes_fetched or 0
        self._fetched.inc(fetched - known if fetched >= known else fetched)
        if after.phase and after.phase.finished and after.phase != before.phase:
            self._finished.labels(after.phase.value, after.reason or "").inc()
