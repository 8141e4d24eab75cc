"""The figures that Prometheus gets."""

from itertools import pairwise

from prometheus_client import generate_latest

from berth_api.model_download import ModelDownloadStatus
from berth_operator.downloads.metrics import DownloadMetrics
from tests.unit.operator.downloads.building import download


def status(**fields: object) -> ModelDownloadStatus:
    return ModelDownloadStatus.model_validate(fields)


def test_bytes_and_ends_are_counted_once() -> None:
    metrics = DownloadMetrics()
    metrics.seen([download(), download(status={"phase": "Running"}), download(status={"phase": "Running"})])
    stages = [
        status(),
        status(phase="Running", bytesFetched=400),
        status(phase="Running", bytesFetched=400, message="x"),
        status(phase="Running", bytesFetched=100),  # another process, which counts anew
        status(phase="Succeeded", reason="Succeeded", bytesFetched=150),
        status(phase="Succeeded", reason="Succeeded", bytesFetched=150),
    ]
    for before, after in pairwise(stages):
        metrics.written(before, after)
    lines = generate_latest(metrics.registry).decode().splitlines()
    assert 'berth_downloads{phase="Running"} 2.0' in lines
    assert 'berth_downloads{phase="Pending"} 0.0' in lines, "the one that was followed has ended since all were seen"
    assert 'berth_downloads{phase="Succeeded"} 1.0' in lines
    assert 'berth_downloads{phase="Failed"} 0.0' in lines
    assert "berth_download_bytes_total 550.0" in lines
    assert 'berth_downloads_finished_total{phase="Succeeded",reason="Succeeded"} 1.0' in lines
