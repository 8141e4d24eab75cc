"""How far a download is: counted by those who do it, read by whoever asks."""

import json
import threading

from berth_api.download_report import REPORT_BYTES, DownloadReport, DownloadStep

_CUT = "..."


class ProgressTracker:
    """The counts of one download; for any thread."""

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
        """All of it, as of now."""
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
        """What there is to do, and what earlier attempts fetched."""
        with self._lock:
            self._commit, self._total, self._files_total, self._fetched = commit, size, files, fetched

    def enter(self, phase: DownloadStep, reason: str = "", message: str = "") -> None:
        """From now on it does this."""
        with self._lock:
            self._phase, self._reason, self._message = phase, reason, message

    def say(self, reason: str, message: str) -> None:
        """What a person should know while it goes on; empty when that is over."""
        with self._lock:
            self._reason, self._message = reason, message

    def present(self, path: str, size: int) -> None:
        """So much of this file is in the store now."""
        with self._lock:
            self._done += size - self._by_file.get(path, 0)
            self._by_file[path] = size
            if self._phase is DownloadStep.DOWNLOADING and self._done == self._total:
                self._phase = DownloadStep.VERIFYING
            elif self._phase is DownloadStep.VERIFYING and self._done < self._total:
                self._phase = DownloadStep.DOWNLOADING

    def fetched(self, total: int) -> None:
        """What came over the network by now, in all attempts."""
        with self._lock:
            self._fetched = max(self._fetched, total)

    def file_done(self) -> None:
        """One more file is whole and checked."""
        with self._lock:
            self._files_done += 1

    def complete(self, message: str) -> None:
        """All of it is in its place."""
        with self._lock:
            self._files_done = self._files_total
            self._phase, self._reason, self._message = DownloadStep.SUCCEEDED, DownloadStep.SUCCEEDED.value, message


def report_text(report: DownloadReport, limit: int = REPORT_BYTES) -> str:
    """The report as JSON of at most so many bytes: the message is cut where it would be longer."""
    text = json.dumps(report.manifest())
    if len(text) > limit:
        # JSON in ASCII takes at most 12 bytes for a character, so what is left always fits.
        message = report.message or ""
        room = limit - (len(text) - len(json.dumps(message))) - len(_CUT) - 2
        text = json.dumps(report.model_copy(update={"message": message[: max(0, room // 12)] + _CUT}).manifest())
    return text
