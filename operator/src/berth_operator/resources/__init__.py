"""Whole manifests of the objects that the operator creates."""

from berth_operator.resources.download_job import cleanup_name, make_cleanup_job, make_download_job
from berth_operator.resources.event import make_download_event, make_event
from berth_operator.resources.pod import make_pod

__all__ = ["cleanup_name", "make_cleanup_job", "make_download_event", "make_download_job", "make_event", "make_pod"]
