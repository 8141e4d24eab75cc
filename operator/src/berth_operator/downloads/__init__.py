"""ModelDownloads: a Job for each, its progress and its end in the status."""

from berth_operator.downloads.metrics import DownloadMetrics
from berth_operator.downloads.progress import ProgressReader
from berth_operator.downloads.reconciler import DownloadReconciler

__all__ = ["DownloadMetrics", "DownloadReconciler", "ProgressReader"]
