"""The command `berth-download`: the program of a download's Job.

The hub's client is imported late: a wrong variable would end its import with a traceback, before it can be reported.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from berth_api.download_report import EXIT_FAILED, FINAL_EXITS, DownloadStep
from berth_api.repository import (
    DEFAULT_HUB,
    checked_destination,
    checked_globs,
    checked_quantization,
    checked_repository,
    checked_revision,
    hub_endpoint,
)
from berth_hub.client_environment import open_client
from berth_hub.errors import DownloadError
from berth_hub.progress import ProgressTracker
from berth_hub.progress_server import serve_progress
from berth_hub.selection import Selection
from berth_hub.staging import checked_id, remove_staging
from berth_hub.termination import end_on_sigterm, leave_message
from berth_process.log import configure_log
from berth_process.setting_values import whole_number
from berth_process.settings_error import EXIT_WRONG_SETTINGS, SettingsError, read_variable

if TYPE_CHECKING:
    from berth_hub.download import DownloadAttempt, Request

EXIT_TRY_AGAIN = 1

_KEPT_FREE = 1 << 30
"""Bytes of the store that stay free, unless BERTH_MIN_FREE_BYTES says otherwise."""

_log = structlog.get_logger(__name__)


def main() -> int:
    """Runs one attempt.

    Exit code 0: the model is in its place. 3: the download failed for good. 2: a setting or the command line is wrong.
    Any other: another attempt may succeed.
    """
    _configure_logging()
    progress = ProgressTracker()
    end_on_sigterm(progress)
    try:
        arguments = _parse(sys.argv[1:])
        store: Path = arguments.store
        if arguments.remove_staging:
            remove_staging(store, checked_id(arguments.remove_staging))
            return 0
        download, name = _download(arguments, progress)
    except SettingsError as error:
        return _fail(progress, "InvalidSettings", str(error), EXIT_WRONG_SETTINGS)
    except ValueError as error:
        return _fail(progress, "InvalidArgument", str(error), EXIT_FAILED)
    except DownloadError as error:  # what could not be removed
        return _fail(progress, error.reason, str(error), EXIT_TRY_AGAIN)
    try:
        with serve_progress(progress, arguments.host, arguments.port):
            return _attempt(download, name, progress)
    except (OSError, OverflowError) as error:  # of the address alone: an attempt reports its own failures
        message = f"--host {arguments.host} --port {arguments.port}: progress cannot be served there ({error})"
        return _fail(progress, "InvalidArgument", message, EXIT_TRY_AGAIN)


def _download(arguments: argparse.Namespace, progress: ProgressTracker) -> "tuple[DownloadAttempt, str]":
    """The download that the arguments ask for, and the name under which it runs. Raises SettingsError, ValueError."""
    open_client()
    endpoint = read_variable(os.environ, "HF_ENDPOINT", hub_endpoint, DEFAULT_HUB)
    kept_free = read_variable(os.environ, "BERTH_MIN_FREE_BYTES", whole_number, _KEPT_FREE)
    from berth_hub.download import DownloadAttempt, HubAccess  # noqa: PLC0415 (late, see above)

    request = _request(arguments)
    source = HubAccess(endpoint, os.environ.get("HF_TOKEN", "").strip() or None)
    return DownloadAttempt(request, source, arguments.store, kept_free, progress), checked_id(
        arguments.id or _digest(request)
    )


def _attempt(download: "DownloadAttempt", name: str, progress: ProgressTracker) -> int:
    try:
        download.run(name)
    except DownloadError as error:
        return _fail(progress, error.reason, str(error), EXIT_FAILED if error.permanent else EXIT_TRY_AGAIN)
    except Exception as error:  # noqa: BLE001 (it must be reported to whoever waits for the download)
        _log.exception("unexpected")
        return _fail(
            progress, "Unexpected", f"{type(error).__name__}: see the log of the download's pod", EXIT_TRY_AGAIN
        )
    _log.info("done", message=progress.report().message)
    leave_message(progress)
    return 0


def _fail(progress: ProgressTracker, reason: str, message: str, code: int) -> int:
    progress.enter(DownloadStep.FAILED, reason, message)
    _log.error("failed", reason=reason, message=message, again=code not in FINAL_EXITS)
    leave_message(progress)
    return code


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="berth-download", description="Downloads a model from a hub into the model store."
    )
    parser.add_argument("--repository", metavar="ORG/NAME")
    parser.add_argument("--revision", default="main", metavar="BRANCH|TAG|COMMIT")
    parser.add_argument("--destination", metavar="FOLDER", help="below the store, one or two levels deep")
    parser.add_argument(
        "--quantization", metavar="NAME", help="exactly this one of the repository's GGUF files, such as Q4_K_M"
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="GLOB", help="instead of the default files; may be repeated"
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="may be repeated")
    parser.add_argument(
        "--allow-pickle", action="store_true", help="take .bin and other pickles, which run code when they are loaded"
    )
    parser.add_argument("--store", type=Path, default=Path("/models"), metavar="FOLDER")
    parser.add_argument("--id", metavar="NAME", help="the name under which a later attempt finds what this one fetched")
    parser.add_argument(
        "--remove-staging", metavar="NAME", help="delete what is left of the download of this name, and nothing else"
    )
    parser.add_argument("--host", default="0.0.0.0", help="the address on which /progress is served")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args(arguments)


def _request(arguments: argparse.Namespace) -> "Request":
    """What the arguments ask for, checked again. Raises InvalidSourceError."""
    from berth_hub.download import Request  # noqa: PLC0415 (late, see above)

    selection = Selection(
        quantization=checked_quantization(arguments.quantization) if arguments.quantization else None,
        include=tuple(checked_globs("include", arguments.include)),
        exclude=tuple(checked_globs("exclude", arguments.exclude)),
        allow_pickle=arguments.allow_pickle,
    )
    return Request(
        checked_repository(arguments.repository or ""),
        checked_revision(arguments.revision),
        checked_destination(arguments.destination or ""),
        selection,
    )


def _digest(request: "Request") -> str:
    return hashlib.sha256(json.dumps(request.stated(), sort_keys=True).encode()).hexdigest()[:16]


def _configure_logging() -> None:
    """Configures the log, without the lines of the hub's client: they may hold signed URLs."""
    configure_log(sys.stdout, "INFO", libraries="ERROR")
    for library in ("httpx2", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
