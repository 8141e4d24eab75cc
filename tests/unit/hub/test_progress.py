"""What a download says of itself."""

import json

import pytest

from berth_api.download_report import REPORT_BYTES, DownloadReport, DownloadStep
from berth_hub.progress import ProgressTracker, report_text


def test_bytes_are_counted_by_file() -> None:
    progress = ProgressTracker()
    progress.plan("c" * 40, 30, 2, fetched=5)
    progress.enter(DownloadStep.DOWNLOADING)
    progress.present("a", 10)
    progress.present("b", 7)
    progress.present("a", 0)  # its hash was wrong
    progress.fetched(22)
    report = progress.report()
    assert (report.bytes_done, report.bytes_fetched, report.phase) == (7, 22, DownloadStep.DOWNLOADING)
    progress.present("a", 10)
    progress.present("b", 20)
    assert progress.report().phase == DownloadStep.VERIFYING


@pytest.mark.parametrize("message", ["x" * 5000, "ü" * 5000, "🚢" * 5000, '"\\\n' * 3000])
def test_a_report_always_fits_into_a_termination_message(message: str) -> None:
    text = report_text(
        DownloadReport(phase=DownloadStep.FAILED, reason="X", message=message[:REPORT_BYTES], bytes_done=1 << 50)
    )
    assert len(text.encode()) <= REPORT_BYTES
    assert json.loads(text)["message"].endswith("...")
    assert DownloadReport.parse(text) is not None


def test_a_short_report_is_left_alone() -> None:
    report = DownloadReport(phase=DownloadStep.FAILED, message="short")
    assert DownloadReport.parse(report_text(report)) == report
