"""Whom a plan has asked for a download's progress, and what came of it: pure."""

from dataclasses import dataclass
from typing import NamedTuple

from berth_api.download_report import DownloadReport


class ProgressTarget(NamedTuple):
    """A running download to ask for its progress again and again."""

    pod: str
    """uid of its pod."""
    url: str
    """Answers with a DownloadReport."""


@dataclass(frozen=True, slots=True)
class ReportedProgress:
    """What a running download last reported, and how fast it is."""

    pod: str
    """uid of the pod that reported it."""

    report: DownloadReport
    bytes_per_second: int | None
    """None before the second report."""

    @property
    def eta_seconds(self) -> int | None:
        """Seconds that the download still takes at this speed; None where that cannot be known."""
        if self.report.bytes_total is None or self.report.bytes_done is None or not self.bytes_per_second:
            return None
        return round(max(0, self.report.bytes_total - self.report.bytes_done) / self.bytes_per_second)
