"""The end of the program: its termination message, which the kubelet keeps, and what it does on SIGTERM."""

import os
import signal
import threading
from pathlib import Path

import structlog

from berth_api.download_report import DownloadStep
from berth_hub.progress import ProgressTracker, report_text

EXIT_TERMINATED = 128 + signal.SIGTERM

_TERMINATION_LOG = "/dev/termination-log"

_MESSAGE_SECONDS = 2.0
"""How long the message may take: the thread that holds the progress's lock may be stuck."""

_log = structlog.get_logger(__name__)


def leave_message(progress: ProgressTracker) -> None:
    """Writes the progress as the container's termination message, if there is a folder for one."""
    path = Path(os.environ.get("BERTH_TERMINATION_LOG") or _TERMINATION_LOG)
    try:
        if path.parent.is_dir():
            path.write_text(report_text(progress.report()))
    except OSError as error:
        _log.warning("the termination message cannot be written", path=str(path), error=error.strerror)


def end_on_sigterm(progress: ProgressTracker) -> None:
    """From now on, SIGTERM ends the process at once, with its message. Call it before there are other threads.

    A thread waits for the signal. A handler would run in the main thread, and could wait for ever for a lock that the
    main thread itself holds.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in this thread, and in all that it starts
    threading.Thread(target=_wait_for_sigterm, args=(progress,), name="sigterm", daemon=True).start()


def _wait_for_sigterm(progress: ProgressTracker) -> None:
    signal.sigwait({signal.SIGTERM})
    try:
        writing = threading.Thread(target=_report_interruption, args=(progress,), name="last message", daemon=True)
        writing.start()
        writing.join(_MESSAGE_SECONDS)
    finally:
        # The next attempt can go on from whatever is in the store.
        os._exit(EXIT_TERMINATED)


def _report_interruption(progress: ProgressTracker) -> None:
    progress.enter(
        DownloadStep.FAILED,
        "Interrupted",
        "the download was told to end; the next attempt takes up where it was",
    )
    leave_message(progress)
