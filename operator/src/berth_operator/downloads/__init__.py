"""ModelDownloads: a Job for each, its progress in the status, its end told."""

from berth_operator.downloads.metrics import DownloadMetrics
from berth_operator.downloads.progress import ProgressReader
from berth_operator.downloads.reconciler import DownloadReconciler

__all__ = ["DownloadMetrics", "DownloadReconciler", "ProgressReader"]
