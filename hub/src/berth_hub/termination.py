"""The end of the program: its last words, which the kubelet keeps, and what happens when it is told to end."""

import os
import signal
import threading
from pathlib import Path

import structlog

from berth_api.download_report import DownloadStep
from berth_hub.progress import ProgressTracker, report_text

EXIT_TERMINATED = 128 + signal.SIGTERM

_TERMINATION_LOG = "/dev/termination-log"

_TELLING_SECONDS = 2.0
"""How long the last words may take: who holds the lock of what they need may be stuck itself."""

_log = structlog.get_logger(__name__)


def leave_message(progress: ProgressTracker) -> None:
    """Writes the progress as the container's termination message, where there is a place for one."""
    path = Path(os.environ.get("BERTH_TERMINATION_LOG") or _TERMINATION_LOG)
    try:
        if path.parent.is_dir():
            path.write_text(report_text(progress.report()))
    except OSError as error:
        _log.warning("the termination message cannot be written", path=str(path), error=error.strerror)


def end_on_sigterm(progress: ProgressTracker) -> None:
    """From now on, SIGTERM ends the process at once, with its last words. Call it before there are other threads.

    A thread waits for the signal. A handler would run in the main thread, in the middle of whatever that does, and wait
    for ever for a lock that the main thread holds itself.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in this thread, and in all that it starts
    threading.Thread(target=_wait_for_sigterm, args=(progress,), name="sigterm", daemon=True).start()


def _wait_for_sigterm(progress: ProgressTracker) -> None:
    signal.sigwait({signal.SIGTERM})
    try:
        telling = threading.Thread(target=_tell, args=(progress,), name="last words", daemon=True)
        telling.start()
        telling.join(_TELLING_SECONDS)
    finally:
        # What is in the store can be taken up at any point.
        os._exit(EXIT_TERMINATED)


def _tell(progress: ProgressTracker) -> None:
    progress.enter(
        DownloadStep.FAILED,
        "Interrupted",
        "the download was told to end; the next attempt takes up where it was",
    )
    leave_message(progress)
