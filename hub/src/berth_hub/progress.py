"""How far a download is: its parts count, and whoever asks gets a report."""

import json
import threading

from berth_api.download_report import REPORT_BYTES, DownloadReport, DownloadStep

_CUT = "..."


class ProgressTracker:
    """The counts of one download, and what it does now. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase = DownloadStep.LISTING
        self._reason = self._message = self._commit = ""
        self._by_file: dict[str, int] = {}
        self._done = 0
        self._total = 0
        self._fetched = 0
        self._files_done = 0
        self._files_total = 0

    def report(self) -> DownloadReport:
        """How far the download is now."""
        with self._lock:
            return DownloadReport(
                phase=self._phase,
                reason=self._reason or None,
                message=self._message or None,
                commit=self._commit or None,
                bytes_done=self._done,
                bytes_total=self._total,
                bytes_fetched=self._fetched,
                files_done=self._files_done,
                files_total=self._files_total,
            )

    def plan(self, commit: str, size: int, files: int, fetched: int) -> None:
        """Notes what there is to do, and what earlier attempts have fetched. Sizes in bytes."""
        with self._lock:
            self._commit, self._total, self._files_total, self._fetched = commit, size, files, fetched

    def enter(self, phase: DownloadStep, reason: str = "", message: str = "") -> None:
        """Notes what the download does from now on."""
        with self._lock:
            self._phase, self._reason, self._message = phase, reason, message

    def say(self, reason: str, message: str) -> None:
        """Notes what people should know while the download goes on. Empty: nothing any more."""
        with self._lock:
            self._reason, self._message = reason, message

    def present(self, path: str, size: int) -> None:
        """Notes how many bytes of this file are in the store now."""
        with self._lock:
            self._done += size - self._by_file.get(path, 0)
            self._by_file[path] = size
            if self._phase is DownloadStep.DOWNLOADING and self._done == self._total:
                self._phase = DownloadStep.VERIFYING
            elif self._phase is DownloadStep.VERIFYING and self._done < self._total:
                self._phase = DownloadStep.DOWNLOADING

    def fetched(self, total: int) -> None:
        """Notes how many bytes all attempts together have fetched over the network."""
        with self._lock:
            self._fetched = max(self._fetched, total)

    def file_done(self) -> None:
        """Notes that one more file is complete and checked."""
        with self._lock:
            self._files_done += 1

    def complete(self, message: str) -> None:
        """Notes that the model is in its place."""
        with self._lock:
            self._files_done = self._files_total
            self._phase, self._reason, self._message = DownloadStep.SUCCEEDED, DownloadStep.SUCCEEDED.value, message


def report_text(report: DownloadReport, limit: int = REPORT_BYTES) -> str:
    """The report as JSON of at most `limit` bytes: a message that is too long is cut."""
    text = json.dumps(report.manifest())
    if len(text) > limit:
        # JSON in ASCII takes at most 12 bytes for a character, so what is left always fits.
        message = report.message or ""
        space = limit - (len(text) - len(json.dumps(message))) - len(_CUT) - 2
        text = json.dumps(report.model_copy(update={"message": message[: max(0, space // 12)] + _CUT}).manifest())
    return text
